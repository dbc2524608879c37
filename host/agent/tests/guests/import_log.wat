(import "lightmon:plugin/log@0.1.0" "log" (func $log (param $level i32) (param $text i32) (param $length i32)))
