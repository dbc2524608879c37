module lightmon.plugin/beacon

go 1.24
