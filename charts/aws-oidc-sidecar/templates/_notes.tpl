{{/*
Every role of the release once, as a JSON list of {role, subjects, assumedBy, audiences, seconds, tags}: a trust policy
is replaced whole, so that one command has to name all that may assume the role. Takes (dict "root" $ "accounts" LIST).
*/}}
{{- define "aws-oidc-sidecar.roles" -}}
{{- $roles := dict -}}
{{- range $account := .accounts -}}
{{-   range $name := keys $account.profiles | sortAlpha -}}
{{-     $profile := get $account.profiles $name -}}
{{-     $role := get $roles $profile.roleArn | default (dict "role" $profile.roleArn "subjects" list "assumedBy" list "audiences" list "seconds" 3600 "tags" false) -}}
{{-     if $profile.sourceProfile -}}
{{-       $source := (get $account.profiles $profile.sourceProfile).roleArn -}}
{{-       $_ := set $role "assumedBy" (append $role.assumedBy $source | uniq) -}}
{{-       $_ := set $role "tags" (or $role.tags (eq $profile.sessionTags true)) -}}
{{-     else -}}
{{-       $_ := set $role "subjects" (append $role.subjects (printf "%s/%s" $.root.Release.Namespace $account.name) | uniq) -}}
{{-       $_ := set $role "audiences" (append $role.audiences $account.audience | uniq) -}}
{{-       $_ := set $role "seconds" (max $role.seconds $profile.durationSeconds) -}}
{{-     end -}}
{{-     $_ := set $roles $profile.roleArn $role -}}
{{-   end -}}
{{- end -}}
{{- $sorted := list -}}
{{- range $arn := keys $roles | sortAlpha -}}
{{-   $sorted = append $sorted (get $roles $arn) -}}
{{- end -}}
{{- toJson $sorted -}}
{{- end -}}

{{/*
The commands that make one role and its trust. Takes an item of the list above.
*/}}
{{- define "aws-oidc-sidecar.roleCommands" -}}
{{- $parts := splitList ":" .role -}}
{{- $path := last $parts | trimPrefix "role/" -}}
{{- $name := splitList "/" $path | last -}}
{{- $what := printf "--role %s" $name -}}
{{- if ne $path $name -}}
{{-   $what = printf "%s --path /%s" $what (trimSuffix $name $path) -}}
{{- end -}}
# in account {{ index $parts 4 }}
{{- if .subjects }}
aws-oidc-sidecar bootstrap aws --issuer "$issuer" {{ $what }}
{{- range .subjects }} \
  --service-account {{ . }}
{{- end }}
{{- if ne (.audiences | join " ") "sts.amazonaws.com" }}
{{- range .audiences }} \
  --audience {{ squote . }}
{{- end }}
{{- end }}
{{- if gt (int .seconds) 3600 }} \
  --max-session-seconds {{ int .seconds }}
{{- end }}
{{- end }}
{{- if .assumedBy }}
{{- if .subjects }}
# Its trust policy has to let in those below, too: docs/bootstrap.md.
{{- end }}
aws-oidc-sidecar bootstrap aws --issuer "$issuer" {{ $what }}
{{- range .assumedBy }} \
  --assumed-by {{ . }}
{{- end }}
{{- if .tags }} \
  --session-tags
{{- end }}
{{- end }}
{{- end -}}
