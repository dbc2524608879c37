(import "lightmon:plugin/tables@0.1.0" "open" (func $open (param $name i32) (param $length i32) (param $column i32) (param $column-length i32) (param $answer i32)))
(import "lightmon:plugin/tables@0.1.0" "lookup-ip" (func $lookup-ip (param $table i32) (param $addresses i32) (param $n i32) (param $answer i32)))
(import "lightmon:plugin/tables@0.1.0" "lookup-name" (func $lookup-name (param $table i32) (param $names i32) (param $n i32) (param $answer i32)))
