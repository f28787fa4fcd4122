{{- define "aws-oidc-sidecar.name" -}}
{{- .Values.nameOverride | default .Chart.Name -}}
{{- end -}}

{{/*
The release's name and the chart's, or the release's alone if it contains the chart's: the name of the ServiceAccount of a
first install.
*/}}
{{- define "aws-oidc-sidecar.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $name := include "aws-oidc-sidecar.name" . -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "aws-oidc-sidecar.dashboardName" -}}
{{- printf "%s-dashboard" (include "aws-oidc-sidecar.fullname" .) -}}
{{- end -}}

{{- define "aws-oidc-sidecar.selectorLabels" -}}
app.kubernetes.io/name: {{ include "aws-oidc-sidecar.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/*
The labels of every object of this chart.
*/}}
{{- define "aws-oidc-sidecar.commonLabels" -}}
{{- include "aws-oidc-sidecar.labelsWith" (dict "root" . "labels" dict) -}}
{{- end -}}

{{/*
The labels of an object with its own labels: the chart's replace these, and these replace commonLabels.
Takes (dict "root" $ "labels" MAP).
*/}}
{{- define "aws-oidc-sidecar.labelsWith" -}}
{{- $own := include "aws-oidc-sidecar.selectorLabels" .root | fromYaml -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") -}}
{{- $_ := set $own "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- range $key, $_ := .root.Values.commonLabels -}}
{{-   if or (hasKey $own $key) (has $key (list "app.kubernetes.io/component" "aws-oidc-sidecar/version")) -}}
{{-     fail (printf "commonLabels: %s: is set by the chart; remove it" $key) -}}
{{-   end -}}
{{- end -}}
{{- /* Not by merge, which treats an empty text as absent. */ -}}
{{- $made := dict -}}
{{- range $labels := list .root.Values.commonLabels .labels $own -}}
{{-   range $key, $value := $labels -}}
{{-     $_ := set $made $key $value -}}
{{-   end -}}
{{- end -}}
{{- toYaml $made -}}
{{- end -}}

{{/*
A name of at most 63 characters from two parts; a longer one is cut and ends in a hash. Takes (list PART PART).
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
The dict for the library's templates in this chart's pods, as JSON. Takes (dict "root" $ "account" ACCOUNT).
*/}}
{{- define "aws-oidc-sidecar.podSettings" -}}
{{- dict
  "serviceAccount" .account.name
  "profiles" .account.served
  "audience" .account.audience
  "region" .account.region
  "cluster" .root.Values.cluster
  "image" .root.Values.image
  "resources" .root.Values.resources
  "runAsAssignedUser" .root.Values.runAsAssignedUser
  "extraEnv" .root.Values.extraEnv
  "kubeVersionOverride" .root.Values.kubeVersionOverride
  "gate" "none"
  | toJson -}}
{{- end -}}

{{/*
{variable: how to fix} for the variables of the test's AWS CLI that the chart sets, as JSON.
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
