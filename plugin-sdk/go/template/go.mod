module lightmon.plugin/{{name}}

go 1.24
