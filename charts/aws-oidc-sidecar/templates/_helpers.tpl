{{- define "aws-oidc-sidecar.name" -}}
{{- .Values.nameOverride | default .Chart.Name -}}
{{- end -}}

{{/*
The release's name with the chart's, once where the one holds the other: the name of the ServiceAccount of a first install.
*/}}
{{- define "aws-oidc-sidecar.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $name := include "aws-oidc-sidecar.name" . -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "aws-oidc-sidecar.selectorLabels" -}}
app.kubernetes.io/name: {{ include "aws-oidc-sidecar.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/*
The labels of every object of this chart.
*/}}
{{- define "aws-oidc-sidecar.commonLabels" -}}
{{- $own := include "aws-oidc-sidecar.selectorLabels" . | fromYaml -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{- $_ := set $own "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service -}}
{{- range $key := keys .Values.commonLabels | sortAlpha -}}
{{-   if hasKey $own $key -}}
{{-     fail (printf "commonLabels: %s: is set by the chart; remove it" $key) -}}
{{-   end -}}
{{- end -}}
{{- merge $own .Values.commonLabels | toYaml -}}
{{- end -}}

{{/*
A name of at most 63 characters from two parts, with a hash where it is cut. Takes (list PART PART).
*/}}
{{- define "aws-oidc-sidecar.joined" -}}
{{- $name := join "-" . -}}
{{- if gt (len $name) 63 -}}
{{- printf "%s-%s" ($name | trunc 54 | trimAll "-.") (sha256sum $name | trunc 8) -}}
{{- else -}}
{{- $name -}}
{{- end -}}
{{- end -}}

{{/*
What this chart's pods give the templates of the library, as JSON. Takes (dict "root" $ "account" ACCOUNT).
*/}}
{{- define "aws-oidc-sidecar.podSettings" -}}
{{- dict
  "serviceAccount" .account.name
  "profiles" .account.served
  "audience" .account.audience
  "region" .account.region
  "image" .root.Values.image
  "resources" .root.Values.resources
  "runAsAssignedUser" .root.Values.runAsAssignedUser
  "extraEnv" .root.Values.extraEnv
  "kubeVersionOverride" .root.Values.kubeVersionOverride
  "gate" "none"
  | toJson -}}
{{- end -}}

{{/*
{variable: what to set instead} of those that the test's AWS CLI has already, as JSON.
*/}}
{{- define "aws-oidc-sidecar.testVariables" -}}
{{- dict
  "AWS_CONTAINER_CREDENTIALS_FULL_URI" "remove it"
  "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" "remove it"
  "AWS_REGION" "set region"
  "AWS_DEFAULT_REGION" "set region"
  "AWS_PAGER" "remove it"
  | toJson -}}
{{- end -}}
