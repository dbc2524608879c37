;; Returns a line that is not UTF-8.
(data (i32.const 256) "\ff\fe")
(data (i32.const 1024) "\03\00\00\00" "\00\00\00\00" "\00\01\00\00" "\02\00\00\00" "\00\00\00\00" "\00\00\00\00")
(func (export "lightmon:plugin/filter@0.1.0#process") (param $ps i32) (param $pn i32) (param $cs i32) (param $cn i32) (param $events i32) (param $n i32) (result i32)
  (call $answer (i32.const 1)))
