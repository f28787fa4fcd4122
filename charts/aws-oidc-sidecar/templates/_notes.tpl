{{/*
Every role of the release once, roles that assume others first, as a JSON list of {role, subjects, assumedBy, assumes,
audiences, seconds, tags}. A command replaces the whole trust policy, so one command must name all principals that may
assume the role, and IAM rejects a trust policy with a role that does not exist. Takes (dict "root" $ "accounts" LIST).
*/}}
{{- define "aws-oidc-sidecar.roles" -}}
{{- $roles := dict -}}
{{- range $account := .accounts -}}
{{-   range $name := keys $account.profiles | sortAlpha -}}
{{-     $arn := (get $account.profiles $name).roleArn -}}
{{-     $_ := set $roles $arn (dict "role" $arn "subjects" list "assumedBy" list "assumes" list "audiences" list "seconds" 3600 "tags" false) -}}
{{-   end -}}
{{- end -}}
{{- range $account := .accounts -}}
{{-   range $name := keys $account.profiles | sortAlpha -}}
{{-     $profile := get $account.profiles $name -}}
{{-     $role := get $roles $profile.roleArn -}}
{{-     if $profile.sourceProfile -}}
{{-       $source := get $roles (get $account.profiles $profile.sourceProfile).roleArn -}}
{{-       $_ := set $role "assumedBy" (append $role.assumedBy $source.role | uniq) -}}
{{-       $_ := set $role "tags" (or $role.tags (eq $profile.sessionTags true)) -}}
{{-       $_ := set $source "assumes" (append $source.assumes $role.role | uniq) -}}
{{-     else -}}
{{-       $_ := set $role "subjects" (append $role.subjects (printf "%s/%s" $.root.Release.Namespace $account.name) | uniq) -}}
{{-       $_ := set $role "audiences" (append $role.audiences $account.audience | uniq) -}}
{{-       $_ := set $role "seconds" (max $role.seconds $profile.durationSeconds) -}}
{{-     end -}}
{{-   end -}}
{{- end -}}
{{- range $role := $roles -}}
{{-   $statements := list -}}
{{-   range $role.assumes -}}
{{-     $action := ternary (list "sts:AssumeRole" "sts:TagSession") "sts:AssumeRole" (get $roles .).tags -}}
{{-     $statements = append $statements (dict "Effect" "Allow" "Action" $action "Resource" .) -}}
{{-   end -}}
{{-   $_ := set $role "assumes" $statements -}}
{{- end -}}
{{- $sorted := list -}}
{{- $listed := dict -}}
{{- range $round := until (add1 (len $roles) | int) -}}
{{-   range $arn := keys $roles | sortAlpha -}}
{{-     $role := get $roles $arn -}}
{{-     $waits := false -}}
{{-     range ternary list $role.assumedBy (not (empty $role.subjects)) -}}
{{-       $waits = or $waits (not (hasKey $listed .)) -}}
{{-     end -}}
{{- /*  Roles that two accounts chain in opposite directions have no order, so they come last. */ -}}
{{-     if and (not (hasKey $listed $arn)) (or (not $waits) (eq $round (len $roles))) -}}
{{-       $sorted = append $sorted $role -}}
{{-       $_ := set $listed $arn true -}}
{{-     end -}}
{{-   end -}}
{{- end -}}
{{- toJson $sorted -}}
{{- end -}}

{{/*
A text as one word of a POSIX shell.
*/}}
{{- define "aws-oidc-sidecar.shellWord" -}}
{{- replace "'" `'\''` . | printf "'%s'" -}}
{{- end -}}

{{/*
The command that creates one role and its trust policy. Takes an item of the list above.
*/}}
{{- define "aws-oidc-sidecar.roleCommand" -}}
{{- $parts := splitList ":" .role -}}
{{- /* A path may have colons, quotes and dollar signs. */ -}}
{{- $path := slice $parts 5 | join ":" | trimPrefix "role/" -}}
{{- $name := splitList "/" $path | last -}}
{{- $file := printf "assume-%s.json" $name -}}
# in account {{ index $parts 4 }}
{{- with .assumes }}
echo {{ dict "Version" "2012-10-17" "Statement" . | toRawJson | include "aws-oidc-sidecar.shellWord" }} > {{ $file }}
{{- end }}
aws-oidc-sidecar bootstrap aws --issuer "$issuer" --role {{ $name }}
{{- if ne $path $name }} --path {{ trimSuffix $name $path | printf "/%s" | include "aws-oidc-sidecar.shellWord" }}{{ end }}
{{- if .subjects }}
{{-   range .subjects }} \
  --service-account {{ . }}
{{-   end }}
{{-   if ne (.audiences | join " ") "sts.amazonaws.com" }}
{{-     range .audiences }} \
  --audience {{ include "aws-oidc-sidecar.shellWord" . }}
{{-     end }}
{{-   end }}
{{-   if gt (int .seconds) 3600 }} \
  --max-session-seconds {{ int .seconds }}
{{-   end }}
{{- else }}
{{-   range .assumedBy }} \
  --assumed-by {{ include "aws-oidc-sidecar.shellWord" . }}
{{-   end }}
{{-   if .tags }} \
  --session-tags
{{-   end }}
{{- end }}
{{- if .assumes }} \
  --inline-policy assume-roles={{ $file }}
{{- end }}
{{- if and .subjects .assumedBy }}
# The roles below assume this role, too. One command sets up trust for tokens or for roles, not for both: add these roles
# to its trust policy by hand, with {{ ternary "sts:AssumeRole and sts:TagSession" "sts:AssumeRole" .tags }}, once they exist and after each run, which replaces the policy.
{{-   range .assumedBy }}
#   {{ . }}
{{-   end }}
{{- end }}
{{- end -}}
