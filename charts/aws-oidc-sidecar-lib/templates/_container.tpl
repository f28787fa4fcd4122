{{/*
The sidecar, an item of `initContainers`: after those of a service mesh, before your own.

Takes (dict "root" $ "serviceAccount" NAME), and any key of values.yaml, which replaces that value.
*/}}
{{- define "aws-oidc-sidecar.container" -}}
{{- $settings := include "aws-oidc-sidecar.settings" (dict "template" "container" "given" .) | fromJson -}}
{{- if not (has $settings.gate (list "credentials" "listening" "none")) -}}
{{-   fail (printf "aws-oidc-sidecar.container: gate: unknown value %v; use credentials, listening or none" $settings.gate) -}}
{{- end -}}
- name: aws-oidc-sidecar
  image: {{ include "aws-oidc-sidecar.image" (dict "image" $settings.image "version" (include "aws-oidc-sidecar.version" .)) | quote }}
  {{- with $settings.image.pullPolicy }}
  imagePullPolicy: {{ . }}
  {{- end }}
  # A native sidecar: it starts before the application, ends after it, and lets a Job complete.
  restartPolicy: Always
  args: [run]
  env:
    # The sidecar applies a changed role of the ConfigMap while the pod runs.
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
    # With these two the sidecar detects hostNetwork and does not start: the whole node would share its loopback.
    - name: AWS_OIDC_SIDECAR_POD_IP
      valueFrom: {fieldRef: {fieldPath: status.podIP}}
    - name: AWS_OIDC_SIDECAR_HOST_IP
      valueFrom: {fieldRef: {fieldPath: status.hostIP}}
    {{- with include "aws-oidc-sidecar.extraEnv" (dict "given" $settings.extraEnv "taken" (include "aws-oidc-sidecar.ownVariables" . | fromJson)) }}
    {{- . | nindent 4 }}
    {{- end }}
  ports:
    # Health and metrics, nothing secret. The port of the endpoint is on 127.0.0.1 and is not declared.
    - name: awscreds-admin
      containerPort: 9842
  {{- if ne $settings.gate "none" }}
  # The application starts after this probe succeeds. The probe must not kill the sidecar while the trust policy is being
  # fixed, so it fails only after a day.
  startupProbe:
    httpGet: {path: {{ ternary "/startupz" "/livez" (eq $settings.gate "credentials") }}, port: awscreds-admin}
    periodSeconds: 1
    timeoutSeconds: 5
    failureThreshold: 86400
  {{- end }}
  # Does not depend on AWS: it fails only if the process hangs.
  livenessProbe:
    httpGet: {path: /livez, port: awscreds-admin}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  # Pod Security "restricted", set here so that the pod's own securityContext is left to the application.
  securityContext:
    {{- include "aws-oidc-sidecar.securityContext" $settings | nindent 4 }}
  resources:
    {{- toYaml $settings.resources | nindent 4 }}
  volumeMounts:
    # Only the sidecar mounts the token; the application cannot read it.
    - name: aws-oidc-token
      mountPath: /var/run/secrets/aws-oidc-sidecar
      readOnly: true
    # The whole volume and not a subPath, which the kubelet does not update.
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
The securityContext of a container with the sidecar's image. Takes a dict with runAsAssignedUser.
*/}}
{{- define "aws-oidc-sidecar.securityContext" -}}
runAsNonRoot: true
{{- if not .runAsAssignedUser }}
runAsUser: 19841
runAsGroup: 19841
{{- end }}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/*
{variable: how to fix} for the variables of the sidecar's container that the template sets, as JSON.
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
More variables as YAML, after the check below. Takes the same dict.
*/}}
{{- define "aws-oidc-sidecar.extraEnv" -}}
{{- include "aws-oidc-sidecar.checkEnv" (merge (dict "where" "extraEnv") .) -}}
{{- with .given -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}

{{/*
Renders nothing. Fails for a duplicate variable, which server-side apply rejects, and for one that the chart sets.
Takes (dict "where" TEXT "given" LIST "taken" {NAME: HOW TO FIX}).
*/}}
{{- define "aws-oidc-sidecar.checkEnv" -}}
{{- $where := .where -}}
{{- $taken := .taken -}}
{{- if and .given (not (kindIs "slice" .given)) -}}
{{-   fail (printf "%s: is not a list; write items with name and value, as in a container's env" $where) -}}
{{- end -}}
{{- $seen := dict -}}
{{- range .given -}}
{{-   if not (and (kindIs "map" .) (hasKey . "name") (kindIs "string" .name)) -}}
{{-     fail (printf "%s: an item has no name; write name and value, as in a container's env" $where) -}}
{{-   end -}}
{{-   if hasKey $taken .name -}}
{{-     fail (printf "%s: %s: is set by the chart; %s" $where .name (index $taken .name)) -}}
{{-   end -}}
{{-   if hasKey $seen .name -}}
{{-     fail (printf "%s: duplicate variable %s; keep one" $where .name) -}}
{{-   end -}}
{{-   $_ := set $seen .name true -}}
{{- end -}}
{{- end -}}
