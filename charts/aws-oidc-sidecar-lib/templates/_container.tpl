{{/*
The sidecar, an item of `initContainers`: behind those of a service mesh, before your own.

Takes (dict "root" $ "serviceAccount" NAME), and any key of values.yaml over what is there.
*/}}
{{- define "aws-oidc-sidecar.container" -}}
{{- $settings := include "aws-oidc-sidecar.settings" (dict "template" "container" "given" .) | fromJson -}}
{{- if not (has $settings.gate (list "credentials" "listening" "none")) -}}
{{-   fail (printf "aws-oidc-sidecar.container: gate: %v: is not known; use credentials, listening or none" $settings.gate) -}}
{{- end -}}
- name: aws-oidc-sidecar
  image: {{ include "aws-oidc-sidecar.image" (dict "image" $settings.image "version" (include "aws-oidc-sidecar.version" .)) | quote }}
  {{- with $settings.image.pullPolicy }}
  imagePullPolicy: {{ . }}
  {{- end }}
  # A native sidecar: it starts before the application, ends after it, and keeps no Job from completing.
  restartPolicy: Always
  args: [run]
  env:
    # A role that changes in the ConfigMap is taken while the pod runs.
    - name: AWS_OIDC_SIDECAR_PROFILES_FILE
      value: /etc/aws-oidc-sidecar/profiles
    {{- with $settings.region }}
    - name: AWS_REGION
      value: {{ . | quote }}
    {{- end }}
    {{- if ne $settings.audience "sts.amazonaws.com" }}
    - name: AWS_OIDC_SIDECAR_AUDIENCE
      value: {{ $settings.audience | quote }}
    {{- end }}
    {{- with $settings.cluster }}
    - name: AWS_OIDC_SIDECAR_CLUSTER
      value: {{ . | quote }}
    {{- end }}
    # With these two it notices hostNetwork, where the whole node would share its loopback, and refuses to start.
    - name: AWS_OIDC_SIDECAR_POD_IP
      valueFrom: {fieldRef: {fieldPath: status.podIP}}
    - name: AWS_OIDC_SIDECAR_HOST_IP
      valueFrom: {fieldRef: {fieldPath: status.hostIP}}
    {{- with include "aws-oidc-sidecar.extraEnv" (dict "given" $settings.extraEnv "taken" (include "aws-oidc-sidecar.ownVariables" . | fromJson)) }}
    {{- . | nindent 4 }}
    {{- end }}
  ports:
    # Health and metrics, nothing secret. The port of the credentials is on 127.0.0.1 and is not declared.
    - name: awscreds-admin
      containerPort: 9842
  {{- if ne $settings.gate "none" }}
  # The application starts behind it. It must never kill the sidecar while somebody mends the trust: a day of patience.
  startupProbe:
    httpGet: {path: {{ ternary "/startupz" "/livez" (eq $settings.gate "credentials") }}, port: awscreds-admin}
    periodSeconds: 1
    timeoutSeconds: 5
    failureThreshold: 86400
  {{- end }}
  # Does not depend on AWS: it fails only where the process hangs.
  livenessProbe:
    httpGet: {path: /livez, port: awscreds-admin}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  # Pod Security "restricted", set here so that the pod's own settings stay the application's business.
  securityContext:
    {{- include "aws-oidc-sidecar.securityContext" $settings | nindent 4 }}
  resources:
    {{- toYaml $settings.resources | nindent 4 }}
  volumeMounts:
    # The token is mounted here alone: the application never sees it.
    - name: aws-oidc-token
      mountPath: /var/run/secrets/aws-oidc-sidecar
      readOnly: true
    # The whole volume, no subPath: the kubelet updates no subPath.
    - name: aws-oidc-config
      mountPath: /etc/aws-oidc-sidecar
      readOnly: true
    - name: aws-oidc-state
      mountPath: /var/run/aws-oidc-sidecar/state
    {{- range $settings.profiles }}
    - name: aws-oidc-profile-{{ . }}
      mountPath: /var/run/aws-oidc-sidecar/profiles/{{ . }}
    {{- end }}
{{- end -}}

{{/*
The securityContext of a container of ours. Takes a dict with runAsAssignedUser.
*/}}
{{- define "aws-oidc-sidecar.securityContext" -}}
runAsNonRoot: true
{{- if not .runAsAssignedUser }}
runAsUser: 9841
runAsGroup: 9841
{{- end }}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/*
{variable: what to set instead} of those that the sidecar's container sets by itself, as JSON.
*/}}
{{- define "aws-oidc-sidecar.ownVariables" -}}
{{- dict
  "AWS_OIDC_SIDECAR_PROFILES_FILE" "write the role into the ConfigMap"
  "AWS_OIDC_SIDECAR_ROLE_ARN" "write the role into the ConfigMap"
  "AWS_ROLE_ARN" "write the role into the ConfigMap"
  "AWS_REGION" "set region"
  "AWS_OIDC_SIDECAR_AUDIENCE" "set audience"
  "AWS_OIDC_SIDECAR_CLUSTER" "set cluster"
  "AWS_OIDC_SIDECAR_POD_IP" "remove it"
  "AWS_OIDC_SIDECAR_HOST_IP" "remove it"
  | toJson -}}
{{- end -}}

{{/*
More variables, none of which may be there twice: server-side apply refuses that.
Takes (dict "given" LIST "taken" {NAME: WHAT TO DO INSTEAD}).
*/}}
{{- define "aws-oidc-sidecar.extraEnv" -}}
{{- $seen := dict -}}
{{- range .given -}}
{{-   if hasKey $.taken .name -}}
{{-     fail (printf "extraEnv: %s: is set by the chart; %s" .name (index $.taken .name)) -}}
{{-   end -}}
{{-   if hasKey $seen .name -}}
{{-     fail (printf "extraEnv: %s: is there twice; keep one" .name) -}}
{{-   end -}}
{{-   $_ := set $seen .name true -}}
{{- end -}}
{{- with .given -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}
