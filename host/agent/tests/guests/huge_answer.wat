;; Returns 100 MB of actions. Most of them are beyond the end of the memory.
(func (export "lightmon:plugin/filter@0.1.0#process") (param $ps i32) (param $pn i32) (param $cs i32) (param $cn i32) (param $events i32) (param $n i32) (result i32)
  (call $answer (i32.const 4166666)))
