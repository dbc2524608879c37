(import "lightmon:plugin/kv@0.1.0" "get" (func $get (param $key i32) (param $length i32) (param $answer i32)))
(import "lightmon:plugin/kv@0.1.0" "set" (func $set (param $key i32) (param $length i32) (param $value i32) (param $value-length i32) (result i32)))
(import "lightmon:plugin/kv@0.1.0" "delete" (func $delete (param $key i32) (param $length i32)))
