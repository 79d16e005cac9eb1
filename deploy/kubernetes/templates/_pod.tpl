{{/*
The pod of a process: (dict "root" $ "component" "web" "command" (list ...) "settings" dict "resources" dict "scratch" "1Gi"
"lifecycle" "<yaml>" "ports" "<yaml>" "nodeSelector" ... "account" "<name>" "claim" "<name>" "grace" 40 "restart" "Never").

enableServiceLinks is off: for a Service named bulkhead, Kubernetes would set BULKHEAD_PORT=tcp://..., which is a setting of ours.
*/}}
{{- define "bulkhead.pod" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
metadata:
  labels:
    {{- include "bulkhead.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
    {{- range $queue := .queues }}
    bulkhead/queue-{{ $queue }}: "true"
    {{- end }}
  {{- $annotations := dict }}
  {{- if and $values.metrics.enabled $values.metrics.annotations (not .restart) }}
  {{- $annotations = dict "prometheus.io/scrape" "true" "prometheus.io/path" "/metrics" "prometheus.io/port" ($values.metrics.port | toString) }}
  {{- end }}
  {{- with merge (default dict .podAnnotations | deepCopy) $annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ default (include "bulkhead.fullname" $root) .account }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .restart }}
  restartPolicy: {{ . }}
  {{- end }}
  {{- with $values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  terminationGracePeriodSeconds: {{ default 45 .grace }}
  securityContext:
    runAsNonRoot: true
    runAsUser: {{ $values.user }}
    runAsGroup: {{ $values.user }}
    fsGroup: {{ $values.user }}
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- if not .restart }}
  topologySpreadConstraints:
    {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ $key }}
      whenUnsatisfiable: {{ $values.topologySpread }}
      labelSelector:
        matchLabels:
          {{- include "bulkhead.selector" $root | nindent 10 }}
          app.kubernetes.io/component: {{ $.component }}
    {{- end }}
  {{- end }}
  {{- with .nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ default .component .container }}
      image: {{ include "bulkhead.image" $root | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      command: {{ toJson .command }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      env: {{- include "bulkhead.environment" (dict "root" $root "component" .component "settings" .settings) | nindent 8 }}
      {{- with .ports }}
      ports: {{- . | nindent 8 }}
      {{- end }}
      {{- with .probes }}
      {{- . | nindent 6 }}
      {{- end }}
      resources: {{- toYaml .resources | nindent 8 }}
      volumeMounts: {{- include "bulkhead.mounts" (dict "root" $root "component" .component) | nindent 8 }}
  volumes: {{- include "bulkhead.volumes" (dict "root" $root "component" .component "scratch" .scratch "claim" .claim) | nindent 4 }}
{{- end -}}
