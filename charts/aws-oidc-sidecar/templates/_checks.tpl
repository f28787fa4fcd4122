{{/*
Nothing, or a failure that names a value which is null and cannot be: Helm removes it before the schema sees it. What is
a list, a map or a text of the user's is empty then, and is not here.
*/}}
{{- define "aws-oidc-sidecar.checkValues" -}}
{{- range $path := list "image" "bootstrap" "test" "test.image" "networkPolicy" "podMonitor" "prometheusRule" "dashboard" -}}
{{-   include "aws-oidc-sidecar.checkNull" (dict "values" $.Values "path" $path "mend" "set its keys") -}}
{{- end -}}
{{- range $path := list "audience" "durationSeconds" "image.repository" "bootstrap.mode" "bootstrap.backoffLimit" "bootstrap.activeDeadlineSeconds" "test.waitSeconds" "test.activeDeadlineSeconds" "test.image.repository" "podMonitor.interval" "podMonitor.scrapeTimeout" -}}
{{-   include "aws-oidc-sidecar.checkNull" (dict "values" $.Values "path" $path "mend" "set it") -}}
{{- end -}}
{{- end -}}

{{/*
The same for one value. Takes (dict "values" MAP "path" PATH "mend" TEXT), where PATH has dots.
*/}}
{{- define "aws-oidc-sidecar.checkNull" -}}
{{- $at := .values -}}
{{- range $key := splitList "." .path -}}
{{-   $at = index $at $key -}}
{{- end -}}
{{- if kindIs "invalid" $at -}}
{{-   fail (printf "%s: is null; remove it, or %s" .path .mend) -}}
{{- end -}}
{{- end -}}

{{/*
Nothing, or a failure where a ServiceAccount has a name that an object of the chart has.
Takes (dict "root" $ "where" TEXT "name" NAME).
*/}}
{{- define "aws-oidc-sidecar.checkName" -}}
{{- $values := .root.Values -}}
{{- if and (ne $values.bootstrap.mode "none") (eq .name (include "aws-oidc-sidecar.bootstrapName" .root)) -}}
{{-   fail (printf "%s: is the ServiceAccount of the bootstrap Job; name it otherwise, or set bootstrap.mode=none" .where) -}}
{{- end -}}
{{- $map := include "aws-oidc-sidecar.configMapName" .name -}}
{{- if and $values.dashboard.enabled (eq $map (include "aws-oidc-sidecar.dashboardName" .root)) -}}
{{-   fail (printf "%s: its ConfigMap %s is the dashboard's; name it otherwise, or set fullnameOverride" .where $map) -}}
{{- end -}}
{{- end -}}
