(import "lightmon:plugin/counter@0.1.0" "add" (func $add (param $name i32) (param $length i32) (param $delta i64)))
