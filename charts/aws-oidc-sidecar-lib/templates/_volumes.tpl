{{/*
The volumes of a pod with the sidecar, items of `volumes`.

Takes (dict "root" $ "serviceAccount" NAME), and any key of values.yaml, which replaces that value.
*/}}
{{- define "aws-oidc-sidecar.volumes" -}}
{{- $settings := include "aws-oidc-sidecar.settings" (dict "template" "volumes" "given" .) | fromJson -}}
{{- if not $settings.serviceAccount -}}
{{-   fail "aws-oidc-sidecar.volumes: serviceAccount: is not set; set it to the pod's ServiceAccount, whose roles are in a ConfigMap" -}}
{{- end -}}
- name: aws-oidc-token
  projected:
    sources:
      - serviceAccountToken:
          audience: {{ $settings.audience | quote }}
          expirationSeconds: {{ int64 $settings.expirationSeconds }}
          path: token
- name: aws-oidc-config
  configMap:
    name: {{ include "aws-oidc-sidecar.configMapName" $settings.serviceAccount }}
# Memory, so that no secret is written to a disk; the sizes count towards the sidecar's memory limit.
- name: aws-oidc-state
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{- range $settings.profiles }}
- name: aws-oidc-profile-{{ . }}
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{- end }}
{{- end -}}
