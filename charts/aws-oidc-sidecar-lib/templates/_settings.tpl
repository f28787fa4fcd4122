{{/*
The version of the sidecar that these templates were made for.
*/}}
{{- define "aws-oidc-sidecar.version" -}}
0.1.0
{{- end -}}

{{/*
The settings of one template as JSON: the values of this library, and over them the keys of its dict.

It fails for a dict without root, for a key that there is not, and for values that no schema sees because they were
given in a dict. Takes (dict "template" NAME "given" DICT).
*/}}
{{- define "aws-oidc-sidecar.settings" -}}
{{- $where := printf "aws-oidc-sidecar.%s" .template -}}
{{- $given := .given -}}
{{- if not (and (kindIs "map" $given) (hasKey $given "root")) -}}
{{-   fail (printf "%s: root: is not set; give it a dict: (dict \"root\" $ \"serviceAccount\" \"NAME\")" $where) -}}
{{- end -}}
{{- $values := index $given.root.Values "aws-oidc-sidecar-lib" -}}
{{- if not $values -}}
{{-   fail (printf "%s: root: has no values of aws-oidc-sidecar-lib; make it a dependency, without an alias" $where) -}}
{{- end -}}
{{- $settings := omit $values "global" -}}
{{- $known := keys $settings | sortAlpha | join ", " -}}
{{- range $key, $value := omit $given "root" -}}
{{-   if not (hasKey $settings $key) -}}
{{-     fail (printf "%s: %s: is not a key; use root, %s" $where $key $known) -}}
{{-   end -}}
{{-   $_ := set $settings $key $value -}}
{{- end -}}
{{- include "aws-oidc-sidecar.checkKubernetes" (dict "root" $given.root "kubeVersionOverride" $settings.kubeVersionOverride) -}}
{{- if not (and (kindIs "map" $settings.image) (get $settings.image "repository")) -}}
{{-   fail (printf "%s: image: has no repository; set it: what is given in a dict replaces the values' image as a whole" $where) -}}
{{- end -}}
{{- if not (and (kindIs "string" $settings.audience) (regexMatch "^[!-~]{1,255}$" (toString $settings.audience))) -}}
{{-   fail (printf "%s: audience: %v: is not an audience; use 1 to 255 printable characters of ASCII, without spaces" $where $settings.audience) -}}
{{- end -}}
{{- $seconds := int64 $settings.expirationSeconds -}}
{{- if or (lt $seconds 600) (gt $seconds 4294967296) -}}
{{-   fail (printf "%s: expirationSeconds: %v: is not what Kubernetes takes; use 600 to 4294967296" $where $settings.expirationSeconds) -}}
{{- end -}}
{{- $pattern := "^[a-z0-9]([a-z0-9-]{0,44}[a-z0-9])?$" -}}
{{- if not (kindIs "slice" $settings.profiles) -}}
{{-   fail (printf "%s: profiles: is not a list; give (list \"default\")" $where) -}}
{{- end -}}
{{- if not $settings.profiles -}}
{{-   fail (printf "%s: profiles: is empty; name every profile that is served" $where) -}}
{{- end -}}
{{- range $settings.profiles -}}
{{-   if not (and (kindIs "string" .) (regexMatch $pattern (toString .))) -}}
{{-     fail (printf "%s: profiles: %v: is not a profile's name; use 1 to 46 of a-z 0-9 -, not at the ends -" $where .) -}}
{{-   end -}}
{{- end -}}
{{- if ne (len $settings.profiles) (len (uniq $settings.profiles)) -}}
{{-   fail (printf "%s: profiles: one is there twice; keep one" $where) -}}
{{- end -}}
{{- toJson $settings -}}
{{- end -}}

{{/*
Nothing, or a failure for a Kubernetes that is too old. Takes (dict "root" $ "kubeVersionOverride" TEXT).
*/}}
{{- define "aws-oidc-sidecar.checkKubernetes" -}}
{{- $kubernetes := .kubeVersionOverride | default .root.Capabilities.KubeVersion.Version -}}
{{- if not (semverCompare ">=1.29.0-0" $kubernetes) -}}
{{-   fail (printf "Kubernetes %s has no native sidecars; use 1.29 or newer, or set kubeVersionOverride where Helm cannot know the version" $kubernetes) -}}
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
{{-     fail (printf "%s: profile: is not set; name one of %s" $where (join ", " $settings.profiles)) -}}
{{-   end -}}
{{-   $_ := set $settings "profile" (first $settings.profiles) -}}
{{- end -}}
{{- if not (has $settings.profile $settings.profiles) -}}
{{-   fail (printf "%s: profile: %s is not among profiles; use one of %s" $where $settings.profile (join ", " $settings.profiles)) -}}
{{- end -}}
{{- toJson $settings -}}
{{- end -}}

{{/*
An image's reference. Takes (dict "image" IMAGE "version" TAG), where the tag is for an image that names none.
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
