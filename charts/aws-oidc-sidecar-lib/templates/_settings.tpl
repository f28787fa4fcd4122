{{/*
The version of the sidecar that belongs to these templates.
*/}}
{{- define "aws-oidc-sidecar.version" -}}
0.1.0
{{- end -}}

{{/*
The settings of one template as JSON: the values of this library, with the keys of the template's dict in their place.

Fails for a dict without root, for an unknown key, and for invalid values in the dict, which the schema does not check.
Takes (dict "template" NAME "given" DICT).
*/}}
{{- define "aws-oidc-sidecar.settings" -}}
{{- $where := printf "aws-oidc-sidecar.%s" .template -}}
{{- $given := .given -}}
{{- if not (and (kindIs "map" $given) (hasKey $given "root")) -}}
{{-   fail (printf "%s: root: is not set; pass a dict: (dict \"root\" $ \"serviceAccount\" \"NAME\")" $where) -}}
{{- end -}}
{{- $values := index $given.root.Values "aws-oidc-sidecar-lib" -}}
{{- if not $values -}}
{{-   fail (printf "%s: root: has no values of aws-oidc-sidecar-lib; add it as a dependency without an alias" $where) -}}
{{- end -}}
{{- $settings := omit $values "global" -}}
{{- $known := keys $settings | sortAlpha | join ", " -}}
{{- range $key, $value := omit $given "root" -}}
{{-   if not (hasKey $settings $key) -}}
{{-     fail (printf "%s: unknown key %s; use root, %s" $where $key $known) -}}
{{-   end -}}
{{-   $_ := set $settings $key $value -}}
{{- end -}}
{{- include "aws-oidc-sidecar.checkKubernetes" (dict "root" $given.root "kubeVersionOverride" $settings.kubeVersionOverride) -}}
{{- if not (and (kindIs "map" $settings.image) (get $settings.image "repository")) -}}
{{-   fail (printf "%s: image: has no repository; set it, because image in a dict replaces all of image in the values" $where) -}}
{{- end -}}
{{- if not (and (kindIs "string" $settings.audience) (regexMatch "^[!-~]{1,255}$" (toString $settings.audience))) -}}
{{-   fail (printf "%s: audience: invalid value %v; use 1 to 255 printable ASCII characters without spaces" $where $settings.audience) -}}
{{- end -}}
{{- $seconds := int64 $settings.expirationSeconds -}}
{{- if or (lt $seconds 600) (gt $seconds 4294967296) -}}
{{-   fail (printf "%s: expirationSeconds: %v is outside the range of Kubernetes; use 600 to 4294967296" $where $settings.expirationSeconds) -}}
{{- end -}}
{{- $pattern := "^[a-z0-9]([a-z0-9-]{0,44}[a-z0-9])?$" -}}
{{- if not (kindIs "slice" $settings.profiles) -}}
{{-   fail (printf "%s: profiles: is not a list; use (list \"default\")" $where) -}}
{{- end -}}
{{- if not $settings.profiles -}}
{{-   fail (printf "%s: profiles: is empty; list every profile that is served" $where) -}}
{{- end -}}
{{- range $settings.profiles -}}
{{-   if not (and (kindIs "string" .) (regexMatch $pattern (toString .))) -}}
{{-     fail (printf "%s: profiles: invalid profile name %v; use 1 to 46 characters a-z, 0-9 and -, with no - at either end" $where .) -}}
{{-   end -}}
{{- end -}}
{{- if ne (len $settings.profiles) (len (uniq $settings.profiles)) -}}
{{-   fail (printf "%s: profiles: has a duplicate name; keep one" $where) -}}
{{- end -}}
{{- toJson $settings -}}
{{- end -}}

{{/*
Renders nothing. Fails for a Kubernetes that is too old. Takes (dict "root" $ "kubeVersionOverride" TEXT).
*/}}
{{- define "aws-oidc-sidecar.checkKubernetes" -}}
{{- $kubernetes := .kubeVersionOverride | default .root.Capabilities.KubeVersion.Version -}}
{{- if not (semverCompare ">=1.29.0-0" $kubernetes) -}}
{{-   fail (printf "Kubernetes %s has no native sidecars; use 1.29 or newer, or set kubeVersionOverride if Helm cannot read the version" $kubernetes) -}}
{{- end -}}
{{- end -}}

{{/*
The settings of a template for one application container as JSON, with `profile` set.
*/}}
{{- define "aws-oidc-sidecar.settingsOfProfile" -}}
{{- $settings := include "aws-oidc-sidecar.settings" . | fromJson -}}
{{- $where := printf "aws-oidc-sidecar.%s" .template -}}
{{- if not $settings.profile -}}
{{-   if gt (len $settings.profiles) 1 -}}
{{-     fail (printf "%s: profile: is not set; use one of %s" $where (join ", " $settings.profiles)) -}}
{{-   end -}}
{{-   $_ := set $settings "profile" (first $settings.profiles) -}}
{{- end -}}
{{- if not (has $settings.profile $settings.profiles) -}}
{{-   fail (printf "%s: profile: %s is not among profiles; use one of %s" $where $settings.profile (join ", " $settings.profiles)) -}}
{{- end -}}
{{- toJson $settings -}}
{{- end -}}

{{/*
The reference of an image. Takes (dict "image" IMAGE "version" TAG); TAG is for an IMAGE without tag and digest.
*/}}
{{- define "aws-oidc-sidecar.image" -}}
{{- $tag := .image.tag | default (ternary "" .version (not (empty .image.digest))) -}}
{{- .image.repository -}}
{{- with $tag }}:{{ . }}{{ end -}}
{{- with .image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{/*
The ConfigMap with the profiles of a ServiceAccount. Takes its name.
*/}}
{{- define "aws-oidc-sidecar.configMapName" -}}
{{- printf "aws-oidc-sidecar-%s" . -}}
{{- end -}}
