{{/*
Every ServiceAccount of the release with its settings, as a JSON list. Fails for settings that contradict each other.

An item has name, create, annotations, labels, audience, region, profiles (by name, each with roleArn, durationSeconds,
region, onChange and its other keys from the values) and served, the sorted names of the profiles that the sidecar serves.
*/}}
{{- define "aws-oidc-sidecar.accounts" -}}
{{- include "aws-oidc-sidecar.checkValues" . -}}
{{- $values := .Values -}}
{{- include "aws-oidc-sidecar.checkKubernetes" (dict "root" . "kubeVersionOverride" $values.kubeVersionOverride) -}}
{{- $given := $values.serviceAccounts | default list -}}
{{- if $values.roleArn -}}
{{-   $given = prepend $given (dict "name" (include "aws-oidc-sidecar.fullname" .) "roleArn" $values.roleArn) -}}
{{- end -}}
{{- if not (or $given (eq $values.bootstrap.mode "apply")) -}}
{{-   fail "roleArn: is not set; set it to the IAM role, or set serviceAccounts; for the bootstrap Job alone set bootstrap.mode=apply" -}}
{{- end -}}
{{- $accounts := list -}}
{{- $seen := dict -}}
{{- range $given -}}
{{-   $where := printf "serviceAccounts: %s" .name -}}
{{-   if hasKey $seen .name -}}
{{-     fail (printf "%s: duplicate name; keep one. The top-level roleArn adds the ServiceAccount with the name of the release's objects" $where) -}}
{{-   end -}}
{{-   $_ := set $seen .name true -}}
{{-   include "aws-oidc-sidecar.checkName" (dict "root" $ "where" $where "name" .name) -}}
{{-   $profiles := deepCopy (.profiles | default dict) -}}
{{-   if .roleArn -}}
{{-     if hasKey $profiles "default" -}}
{{-       fail (printf "%s: roleArn and profiles.default both set the profile default; keep one of them" $where) -}}
{{-     end -}}
{{-     $_ := set $profiles "default" (dict "roleArn" .roleArn) -}}
{{-   end -}}
{{-   if not $profiles -}}
{{-     fail (printf "%s: has no role; set roleArn or profiles" $where) -}}
{{-   end -}}
{{-   $region := .region | default $values.region -}}
{{-   $seconds := .durationSeconds | default $values.durationSeconds -}}
{{-   $onChange := .onChange | default $values.onChange -}}
{{-   $served := list -}}
{{-   range $name := keys $profiles | sortAlpha -}}
{{-     $profile := get $profiles $name -}}
{{-     include "aws-oidc-sidecar.checkProfile" (dict "where" (printf "%s: profiles.%s" $where $name) "name" $name "profiles" $profiles) -}}
{{-     if ne $profile.serve false -}}
{{-       $served = append $served $name -}}
{{-     end -}}
{{-     $own := $profile.durationSeconds | default (ternary (min $seconds 3600) $seconds (not (empty $profile.sourceProfile))) -}}
{{-     $_ := set $profile "durationSeconds" (int64 $own) -}}
{{-     $_ := set $profile "region" ($profile.region | default $region) -}}
{{-     $_ := set $profile "onChange" ($profile.onChange | default $onChange) -}}
{{-   end -}}
{{-   if not $served -}}
{{-     fail (printf "%s: serves no profile; remove serve: false from the profile that pods use" $where) -}}
{{-   end -}}
{{-   $accounts = append $accounts (dict
        "name" .name
        "create" (ne .create false)
        "annotations" (.annotations | default dict)
        "labels" (.labels | default dict)
        "audience" (.audience | default $values.audience)
        "region" $region
        "profiles" $profiles
        "served" $served) -}}
{{- end -}}
{{- toJson $accounts -}}
{{- end -}}

{{/*
Renders nothing. Fails for a profile that the daemon or AWS would reject. Takes (dict "where" TEXT "name" NAME "profiles" PROFILES).
*/}}
{{- define "aws-oidc-sidecar.checkProfile" -}}
{{- $profile := get .profiles .name -}}
{{- if $profile.sourceProfile -}}
{{-   if gt (int64 ($profile.durationSeconds | default 0)) 3600 -}}
{{-     fail (printf "%s: durationSeconds: is over 3600, the maximum of AWS for a chained role; lower it, or remove sourceProfile" .where) -}}
{{-   end -}}
{{-   $at := .name -}}
{{-   $way := list -}}
{{-   range until (add1 (len .profiles) | int) -}}
{{-     if $at -}}
{{-       if has $at $way -}}
{{-         fail (printf "%s: sourceProfile: is a loop, %s; remove one sourceProfile" $.where (append $way $at | join " -> ")) -}}
{{-       end -}}
{{-       if not (hasKey $.profiles $at) -}}
{{-         fail (printf "%s: sourceProfile: %s is not a profile of this ServiceAccount; add that profile, or use another" $.where $at) -}}
{{-       end -}}
{{-       $way = append $way $at -}}
{{-       $at = (get $.profiles $at).sourceProfile -}}
{{-     end -}}
{{-   end -}}
{{- else -}}
{{-   range $key := list "externalId" "sessionTags" -}}
{{-     if get $profile $key -}}
{{-       fail (printf "%s: %s: needs sourceProfile, because AssumeRoleWithWebIdentity has no such parameter; remove it, or chain the role" $.where $key) -}}
{{-     end -}}
{{-   end -}}
{{- end -}}
{{- if kindIs "string" $profile.policy -}}
{{-   if hasKey ($profile.policy | fromJson) "Error" -}}
{{-     fail (printf "%s: policy: is not a JSON object; write it as a map" .where) -}}
{{-   end -}}
{{- end -}}
{{- end -}}

{{/*
The profiles of one account in the syntax of ~/.aws/config, which the sidecar reads.
*/}}
{{- define "aws-oidc-sidecar.profilesFile" -}}
{{- range $index, $name := keys .profiles | sortAlpha -}}
{{- $profile := get $.profiles $name -}}
{{- if $index }}

{{ end -}}
[{{ ternary "default" (printf "profile %s" $name) (eq $name "default") }}]
role_arn = {{ $profile.roleArn }}
{{- with $profile.sourceProfile }}
source_profile = {{ . }}
{{- end }}
duration_seconds = {{ int64 $profile.durationSeconds }}
{{- with $profile.region }}
region = {{ . }}
{{- end }}
{{- with $profile.sessionName }}
role_session_name = {{ . }}
{{- end }}
{{- with $profile.externalId }}
external_id = {{ . }}
{{- end }}
{{- with $profile.policy }}
policy = {{ if kindIs "string" . }}{{ fromJson . | toRawJson }}{{ else }}{{ toRawJson . }}{{ end }}
{{- end }}
{{- with $profile.policyArns }}
policy_arns = {{ join "," . }}
{{- end }}
{{- if $profile.sessionTags }}
session_tags = true
{{- end }}
{{- with $profile.onChange }}
on_change = {{ . }}
{{- end }}
{{- if eq $profile.serve false }}
serve = false
{{- end }}
{{- end }}
{{ end -}}
