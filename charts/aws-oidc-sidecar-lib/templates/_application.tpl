{{/*
The volumeMounts of one application container: what lets it have the role of one profile.

Takes (dict "root" $), with "profiles" and "profile" where the ServiceAccount serves several.
*/}}
{{- define "aws-oidc-sidecar.volumeMounts" -}}
{{- $settings := include "aws-oidc-sidecar.settingsOfProfile" (dict "template" "volumeMounts" "given" .) | fromJson -}}
# Read-only: this volume is what may have the role, and an emptyDir is writable for every user id.
- name: aws-oidc-profile-{{ $settings.profile }}
  mountPath: /var/run/aws-oidc-sidecar
  readOnly: true
{{- end -}}

{{/*
The variables of one application container. Not AWS_ROLE_ARN and not AWS_WEB_IDENTITY_TOKEN_FILE: with those, SDKs would
go to STS by themselves.

Takes (dict "root" $), with "profiles" and "profile" where the ServiceAccount serves several.
*/}}
{{- define "aws-oidc-sidecar.env" -}}
{{- $settings := include "aws-oidc-sidecar.settingsOfProfile" (dict "template" "env" "given" .) | fromJson -}}
- name: AWS_CONTAINER_CREDENTIALS_FULL_URI
  value: http://127.0.0.1:9841/v1/credentials/{{ $settings.profile }}
- name: AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE
  value: /var/run/aws-oidc-sidecar/auth-token
{{- with $settings.region }}
# botocore reads the one, most others the other.
- name: AWS_REGION
  value: {{ . | quote }}
- name: AWS_DEFAULT_REGION
  value: {{ . | quote }}
{{- end }}
{{- end -}}

{{/*
The labels of a pod with the sidecar: monitors and network policies find it by them, and people find those of a version.

Takes (dict "root" $).
*/}}
{{- define "aws-oidc-sidecar.labels" -}}
{{- $settings := include "aws-oidc-sidecar.settings" (dict "template" "labels" "given" .) | fromJson -}}
aws-oidc-sidecar/version: {{ $settings.image.tag | default (include "aws-oidc-sidecar.version" .) | quote }}
{{- end -}}
