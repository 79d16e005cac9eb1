{{/* Whether a process gets a secret: (dict "component" "web" "setting" "DATABASE_URL"). Each gets only what it uses. */}}
{{- define "bulkhead.wantsSecret" -}}
{{- $setting := .setting -}}
{{- if eq .component "relay" -}}
{{- if regexMatch "^(BULKHEAD_RELAY_TOKEN|BULKHEAD_METRICS_TOKEN|TEMPORAL_.*|BULKHEAD_PAYLOAD_.*)$" $setting }}true{{ end -}}
{{- else if eq .component "rollout" -}}
{{- if regexMatch "^(TEMPORAL_.*|BULKHEAD_PAYLOAD_.*)$" $setting }}true{{ end -}}
{{- else if eq $setting "BULKHEAD_RELAY_TOKEN" -}}
{{- else if and (regexMatch "^BULKHEAD_MIGRATION_.*$" $setting) (ne .component "migrate") -}}
{{- else if eq .component "web" -}}
true
{{- else if has $setting (list "BULKHEAD_SECRET_KEY" "BULKHEAD_API_KEY") -}}
{{- else if eq .component "migrate" -}}
{{- if regexMatch "^(DATABASE_.*|BULKHEAD_SQL_URL|BULKHEAD_MIGRATION_.*|AWS_.*|TEMPORAL_.*|BULKHEAD_PAYLOAD_.*)$" $setting }}true{{ end -}}
{{- else -}}
true
{{- end -}}
{{- end -}}

{{/* The settings of a process: (dict "root" $ "component" "web" "settings" .Values.web.settings). */}}
{{- define "bulkhead.environment" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $set := dict
    "BULKHEAD_URL" (required "Set url: the address of the web app, https://..." $values.url)
    "BULKHEAD_BIND" "0.0.0.0"
    "BULKHEAD_PORT" "8765"
    "BULKHEAD_RELAY_PORT" "8766"
    "BULKHEAD_HOME" "/var/lib/bulkhead"
    "BULKHEAD_LOG_FORMAT" "json"
    "BULKHEAD_BUCKET" $values.s3.bucket
    "AWS_REGION" $values.s3.region
    "TEMPORAL_ADDRESS" (required "Set temporal.address: host:port of Temporal's frontend" $values.temporal.address)
    "TEMPORAL_NAMESPACE" $values.temporal.namespace
    "BULKHEAD_TASK_QUEUE" $values.temporal.taskQueue
-}}
{{- with $values.s3.endpoint }}{{ $_ := set $set "AWS_ENDPOINT_URL_S3" . }}{{ end -}}
{{- with $values.s3.publicEndpoint }}{{ $_ := set $set "BULKHEAD_PUBLIC_S3_ENDPOINT" . }}{{ end -}}
{{- if $values.datasets.existingClaim }}{{ $_ := set $set "BULKHEAD_DATASETS_ROOT" "/datasets" }}{{ end -}}
{{- if $values.temporal.tls.enabled -}}
{{- $_ := set $set "TEMPORAL_TLS" "true" -}}
{{- with $values.temporal.tls.serverName }}{{ $_ := set $set "TEMPORAL_TLS_SERVER_NAME" . }}{{ end -}}
{{- if $values.temporal.tls.caSecret.name }}{{ $_ := set $set "TEMPORAL_TLS_SERVER_CA_CERT_PATH" "/run/temporal/ca.crt" }}{{ end -}}
{{- if $values.temporal.tls.clientSecret.name -}}
{{- $_ := set $set "TEMPORAL_TLS_CLIENT_CERT_PATH" "/run/temporal/tls.crt" -}}
{{- $_ := set $set "TEMPORAL_TLS_CLIENT_KEY_PATH" "/run/temporal/tls.key" -}}
{{- end -}}
{{- end -}}
{{- $runsOn := not (has .component (list "migrate" "rollout")) -}}
{{- if and $values.metrics.enabled $runsOn -}}
{{- $_ := set $set "BULKHEAD_METRICS_PORT" ($values.metrics.port | toString) -}}
{{- $_ := set $set "BULKHEAD_METRICS_BIND" "0.0.0.0" -}}
{{- end -}}
{{- if and $values.traces.endpoint $runsOn (ne .component "relay") -}}
{{- $_ := set $set "OTEL_EXPORTER_OTLP_ENDPOINT" $values.traces.endpoint -}}
{{- $_ := set $set "OTEL_SERVICE_NAME" (printf "bulkhead-%s" .component) -}}
{{- end -}}
{{- if and $values.ingress.enabled (eq .component "web") -}}
{{- $_ := set $set "BULKHEAD_TRUSTED_PROXIES" ($values.ingress.trustedProxies | toString) -}}
{{- end -}}
{{- if and $values.rollout.enabled (not (has .component (list "migrate" "relay"))) -}}
{{- $_ := set $set "BULKHEAD_BUILD_ID" (include "bulkhead.build" $root) -}}
{{- end -}}
{{- range $setting, $where := $values.secrets -}}
{{- if include "bulkhead.wantsSecret" (dict "component" $.component "setting" $setting) -}}
{{- $_ := set $set (printf "%s_FILE" $setting) (printf "/run/secrets/bulkhead/%s" $setting) -}}
{{- end -}}
{{- end -}}
{{- range $settings := list $values.settings .settings -}}
{{- range $name, $value := $settings -}}
{{- if hasKey $values.secrets $name }}{{ fail (printf "%s is a secret; it belongs under secrets, not under settings" $name) }}{{ end -}}
{{- $_ := set $set $name $value -}}
{{- end -}}
{{- end -}}
{{- $list := list -}}
{{- range $name := keys $set | sortAlpha -}}
{{- $list = append $list (dict "name" $name "value" (get $set $name | toString)) -}}
{{- end -}}
{{- toYaml $list -}}
{{- end -}}

{{/* Where the files of a process are mounted: (dict "root" $ "component" "web"). */}}
{{- define "bulkhead.mounts" -}}
{{- $values := .root.Values -}}
- {name: scratch, mountPath: /var/lib/bulkhead}
- {name: tmp, mountPath: /tmp}
- {name: secrets, mountPath: /run/secrets/bulkhead, readOnly: true}
{{- if and $values.temporal.tls.enabled (or $values.temporal.tls.caSecret.name $values.temporal.tls.clientSecret.name) }}
- {name: temporal, mountPath: /run/temporal, readOnly: true}
{{- end }}
{{- if or $values.certificates.secretName $values.certificates.configMapName }}
- {name: certificates, mountPath: /run/certificates, readOnly: true}
{{- end }}
{{- if and $values.datasets.existingClaim (ne .component "relay") }}
- {name: datasets, mountPath: /datasets, readOnly: true}
{{- end }}
{{- end -}}

{{/* The volumes of a process: (dict "root" $ "component" "web" "scratch" "1Gi"). */}}
{{- define "bulkhead.volumes" -}}
{{- $values := .root.Values -}}
{{- $component := .component -}}
{{- if .claim }}
- name: scratch
  persistentVolumeClaim: {claimName: {{ .claim }}}
{{- else }}
- name: scratch
  emptyDir: {sizeLimit: {{ .scratch }}}
{{- end }}
- name: tmp
  emptyDir: {sizeLimit: 1Gi}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
    {{- range $setting, $where := $values.secrets }}
    {{- if include "bulkhead.wantsSecret" (dict "component" $component "setting" $setting) }}
    {{- $where := default dict $where }}
      - secret:
          name: {{ default $values.existingSecret $where.name | quote }}
          items: [{key: {{ default $setting $where.key | quote }}, path: {{ $setting }}}]
    {{- end }}
    {{- end }}
{{- $tls := $values.temporal.tls }}
{{- if and $tls.enabled (or $tls.caSecret.name $tls.clientSecret.name) }}
- name: temporal
  projected:
    defaultMode: 0440
    sources:
    {{- if $tls.caSecret.name }}
      - secret:
          name: {{ $tls.caSecret.name | quote }}
          items: [{key: {{ $tls.caSecret.key | quote }}, path: ca.crt}]
    {{- end }}
    {{- if $tls.clientSecret.name }}
      - secret:
          name: {{ $tls.clientSecret.name | quote }}
          items:
            - {key: {{ $tls.clientSecret.certificateKey | quote }}, path: tls.crt}
            - {key: {{ $tls.clientSecret.keyKey | quote }}, path: tls.key}
    {{- end }}
{{- end }}
{{- if $values.certificates.secretName }}
- name: certificates
  secret: {secretName: {{ $values.certificates.secretName | quote }}, defaultMode: 0440}
{{- else if $values.certificates.configMapName }}
- name: certificates
  configMap: {name: {{ $values.certificates.configMapName | quote }}}
{{- end }}
{{- if and $values.datasets.existingClaim (ne $component "relay") }}
- name: datasets
  persistentVolumeClaim: {claimName: {{ $values.datasets.existingClaim | quote }}, readOnly: true}
{{- end }}
{{- end -}}
