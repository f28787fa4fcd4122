{{/*
Renders nothing. Fails for a value that must not be null and names it: Helm removes a null before it checks the schema.
Lists, maps and texts that may be empty are not here: a null makes them empty.
*/}}
{{- define "aws-oidc-sidecar.checkValues" -}}
{{- range $path := list "image" "bootstrap" "test" "test.image" "networkPolicy" "podMonitor" "prometheusRule" "dashboard" -}}
{{-   include "aws-oidc-sidecar.checkNull" (dict "values" $.Values "path" $path "fix" "set its keys") -}}
{{- end -}}
{{- range $path := list "audience" "durationSeconds" "image.repository" "bootstrap.mode" "bootstrap.backoffLimit" "bootstrap.activeDeadlineSeconds" "test.waitSeconds" "test.activeDeadlineSeconds" "test.image.repository" "podMonitor.interval" "podMonitor.scrapeTimeout" -}}
{{-   include "aws-oidc-sidecar.checkNull" (dict "values" $.Values "path" $path "fix" "set it") -}}
{{- end -}}
{{- end -}}

{{/*
The same for one value. Takes (dict "values" MAP "path" PATH "fix" TEXT), where PATH has dots.
*/}}
{{- define "aws-oidc-sidecar.checkNull" -}}
{{- $at := .values -}}
{{- range $key := splitList "." .path -}}
{{-   $at = index $at $key -}}
{{- end -}}
{{- if kindIs "invalid" $at -}}
{{-   fail (printf "%s: is null; remove it, or %s" .path .fix) -}}
{{- end -}}
{{- end -}}

{{/*
Renders nothing. Fails for a ServiceAccount with the name of another object of the chart.
Takes (dict "root" $ "where" TEXT "name" NAME).
*/}}
{{- define "aws-oidc-sidecar.checkName" -}}
{{- $values := .root.Values -}}
{{- if and (ne $values.bootstrap.mode "none") (eq .name (include "aws-oidc-sidecar.bootstrapName" .root)) -}}
{{-   fail (printf "%s: is the name of the bootstrap Job's ServiceAccount; use another name, or set bootstrap.mode=none" .where) -}}
{{- end -}}
{{- $map := include "aws-oidc-sidecar.configMapName" .name -}}
{{- if and $values.dashboard.enabled (eq $map (include "aws-oidc-sidecar.dashboardName" .root)) -}}
{{-   fail (printf "%s: its ConfigMap %s has the name of the dashboard's; use another name, or set fullnameOverride" .where $map) -}}
{{- end -}}
{{- end -}}
