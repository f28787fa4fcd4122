{{- define "aws-oidc-sidecar.bootstrapName" -}}
{{- include "aws-oidc-sidecar.joined" (list (include "aws-oidc-sidecar.fullname" .) "bootstrap") -}}
{{- end -}}

{{/*
The name of the objects without a namespace. Names of namespaces and releases have no colon, so no two releases have the
same name.
*/}}
{{- define "aws-oidc-sidecar.clusterName" -}}
{{- printf "aws-oidc-sidecar:%s:%s:bootstrap" .Release.Namespace .Release.Name -}}
{{- end -}}

{{/*
The Job's name. A Job cannot be changed, so the name has the revision, and the digest of the spec for `helm template`,
which has no revisions. Takes (dict "root" $ "spec" TEXT).
*/}}
{{- define "aws-oidc-sidecar.jobName" -}}
{{- $suffix := printf "%d-%s" (int .root.Release.Revision) (sha256sum .spec | trunc 8) -}}
{{- include "aws-oidc-sidecar.joined" (list (include "aws-oidc-sidecar.bootstrapName" .root) $suffix) -}}
{{- end -}}

{{/*
The spec of the Job.
*/}}
{{- define "aws-oidc-sidecar.jobSpec" -}}
{{- $apply := eq .Values.bootstrap.mode "apply" -}}
backoffLimit: {{ int .Values.bootstrap.backoffLimit }}
activeDeadlineSeconds: {{ int .Values.bootstrap.activeDeadlineSeconds }}
{{- if not (kindIs "invalid" .Values.bootstrap.ttlSecondsAfterFinished) }}
ttlSecondsAfterFinished: {{ int .Values.bootstrap.ttlSecondsAfterFinished }}
{{- end }}
# A person must fix the failures with these exit codes: a finding, a setting, a permission, a binding of another owner. Not
# 5: the documents are closed until a binding takes effect, which another release may be creating.
podFailurePolicy:
  rules:
    - action: FailJob
      onExitCodes: {containerName: bootstrap, operator: In, values: [1, 2, 6, 7]}
template:
  metadata:
    labels:
      {{- include "aws-oidc-sidecar.commonLabels" . | nindent 6 }}
      app.kubernetes.io/component: bootstrap
  spec:
    serviceAccountName: {{ include "aws-oidc-sidecar.bootstrapName" . | quote }}
    automountServiceAccountToken: false
    # A new pod for each retry, so that the log of a failed pod stays.
    restartPolicy: Never
    {{- with .Values.imagePullSecrets }}
    imagePullSecrets:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    containers:
      - name: bootstrap
        image: {{ include "aws-oidc-sidecar.image" (dict "image" .Values.image "version" (include "aws-oidc-sidecar.version" .)) | quote }}
        {{- with .Values.image.pullPolicy }}
        imagePullPolicy: {{ . }}
        {{- end }}
        args:
          - bootstrap
          - cluster
          - --mode
          - {{ .Values.bootstrap.mode }}
          - --token-file
          - /var/run/secrets/aws-oidc-sidecar/token
          {{- if .Values.bootstrap.issuerCAConfigMap }}
          - --issuer-ca
          - /etc/aws-oidc-sidecar/issuer-ca/ca.crt
          {{- end }}
          {{- with .Values.bootstrap.extraArgs }}
          {{- toYaml . | nindent 10 }}
          {{- end }}
        {{- with include "aws-oidc-sidecar.extraEnv" (dict "given" .Values.extraEnv "taken" dict) }}
        env:
          {{- . | nindent 10 }}
        {{- end }}
        securityContext:
          {{- include "aws-oidc-sidecar.securityContext" .Values | nindent 10 }}
        resources:
          {{- toYaml .Values.resources | nindent 10 }}
        volumeMounts:
          - name: aws-oidc-token
            mountPath: /var/run/secrets/aws-oidc-sidecar
            readOnly: true
          {{- if .Values.bootstrap.issuerCAConfigMap }}
          - name: issuer-ca
            mountPath: /etc/aws-oidc-sidecar/issuer-ca
            readOnly: true
          {{- end }}
          - name: kube-api-access
            mountPath: /var/run/secrets/kubernetes.io/serviceaccount
            readOnly: true
    volumes:
      - name: aws-oidc-token
        projected:
          sources:
            - serviceAccountToken: {audience: {{ .Values.audience | quote }}, expirationSeconds: 3600, path: token}
      {{- with .Values.bootstrap.issuerCAConfigMap }}
      - name: issuer-ca
        configMap:
          name: {{ . | quote }}
      {{- end }}
      # With the CA the command verifies the API server; without it the command reports that.
      - name: kube-api-access
        projected:
          sources:
            - configMap: {name: kube-root-ca.crt, optional: true, items: [{key: ca.crt, path: ca.crt}]}
            {{- if $apply }}
            # For the one request with authentication.
            - serviceAccountToken: {expirationSeconds: 3600, path: token}
            {{- end }}
{{- end -}}
