{{/*
The volumeMounts of one application container: a container with them can get the credentials of one profile.

Takes (dict "root" $), with "profiles" and "profile" if the ServiceAccount serves several.
*/}}
{{- define "aws-oidc-sidecar.volumeMounts" -}}
{{- $settings := include "aws-oidc-sidecar.settingsOfProfile" (dict "template" "volumeMounts" "given" .) | fromJson -}}
# This volume gives access to the role. Read-only, because an emptyDir is writable for every user id.
- name: aws-oidc-profile-{{ $settings.profile }}
  mountPath: /var/run/aws-oidc-sidecar
  readOnly: true
{{- end -}}

{{/*
The environment variables of one application container: those that name the sidecar's endpoint, and its own from
`ownEnv`. Not AWS_ROLE_ARN and not AWS_WEB_IDENTITY_TOKEN_FILE: with those, SDKs would call STS themselves.

NO_PROXY and no_proxy both have the entries of NO_PROXY and no_proxy in ownEnv, and loopback: some clients send even
requests for 127.0.0.1 to a proxy, and clients differ in which spelling they read. docs/application.md explains the form.

Takes (dict "root" $), with "profiles" and "profile" if the ServiceAccount serves several, and "ownEnv" LIST.
*/}}
{{- define "aws-oidc-sidecar.env" -}}
{{- $settings := include "aws-oidc-sidecar.settingsOfProfile" (dict "template" "env" "given" .) | fromJson -}}
- name: AWS_CONTAINER_CREDENTIALS_FULL_URI
  value: http://127.0.0.1:9841/v1/credentials/{{ $settings.profile }}
- name: AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE
  value: /var/run/aws-oidc-sidecar/auth-token
{{- with $settings.region }}
# botocore reads AWS_DEFAULT_REGION, most other SDKs read AWS_REGION.
- name: AWS_REGION
  value: {{ . | quote }}
- name: AWS_DEFAULT_REGION
  value: {{ . | quote }}
{{- end }}
{{- $taken := dict "AWS_CONTAINER_CREDENTIALS_FULL_URI" "remove it" "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" "remove it" -}}
{{- if $settings.region -}}
{{-   $_ := merge $taken (dict "AWS_REGION" "set region" "AWS_DEFAULT_REGION" "set region") -}}
{{- end -}}
{{- include "aws-oidc-sidecar.checkOwnEnv" (dict "where" "aws-oidc-sidecar.env: ownEnv" "given" $settings.ownEnv "taken" $taken) }}
{{ include "aws-oidc-sidecar.withLoopback" $settings.ownEnv }}
{{- end -}}

{{/*
Renders nothing. Fails for an application's variables that conflict with the chart's. Takes the dict of checkEnv.
*/}}
{{- define "aws-oidc-sidecar.checkOwnEnv" -}}
{{- include "aws-oidc-sidecar.checkEnv" . -}}
{{- $where := .where -}}
{{- range .given -}}
{{-   if and (has .name (list "NO_PROXY" "no_proxy")) (hasKey . "valueFrom") -}}
{{-     fail (printf "%s: %s: has valueFrom, which a template cannot extend; name that variable CLUSTER_NO_PROXY, and after it set %s to $(CLUSTER_NO_PROXY)" $where .name .name) -}}
{{-   end -}}
{{- end -}}
{{- end -}}

{{/*
Returns the variables with NO_PROXY and no_proxy, which exempt loopback and the entries that either of them had. Both are
at the position of the last of them, so after the variables that their values refer to. If the list has neither, they come
first, before the variables that refer to them. Takes the list.
*/}}
{{- define "aws-oidc-sidecar.withLoopback" -}}
{{- $names := list "NO_PROXY" "no_proxy" -}}
{{- $exempt := list -}}
{{- $before := list -}}
{{- $behind := list -}}
{{- range . -}}
{{-   if has .name $names -}}
{{- /*  White space separates names for some clients and ends the list for others. */ -}}
{{-     $exempt = concat $exempt (regexSplit "[,\\s]+" (.value | default "" | toString) -1) -}}
{{-     $before = concat $before $behind -}}
{{-     $behind = list -}}
{{-   else -}}
{{-     $behind = append $behind . -}}
{{-   end -}}
{{- end -}}
{{- $text := concat $exempt (list "127.0.0.1" "localhost" "::1") | compact | uniq | join "," -}}
{{- $made := list -}}
{{- range $names -}}
{{-   $made = append $made (dict "name" . "value" $text) -}}
{{- end -}}
{{- toYaml (concat $before $made $behind) -}}
{{- end -}}

{{/*
The labels of a pod with the sidecar: monitors and network policies select it by them, and `kubectl -l` finds the pods of
a version.

Takes (dict "root" $).
*/}}
{{- define "aws-oidc-sidecar.labels" -}}
{{- $settings := include "aws-oidc-sidecar.settings" (dict "template" "labels" "given" .) | fromJson -}}
aws-oidc-sidecar/version: {{ $settings.image.tag | default (include "aws-oidc-sidecar.version" .) | quote }}
{{- end -}}
