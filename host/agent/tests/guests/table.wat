;; Requests a million table elements, and traps if the request fails.
(table $t 1 funcref)
(func (export "lightmon:plugin/filter@0.1.0#process") (param $ps i32) (param $pn i32) (param $cs i32) (param $cn i32) (param $events i32) (param $n i32) (result i32)
  (if (i32.eq (i32.const -1) (table.grow $t (ref.null func) (i32.const 1000000))) (then (unreachable)))
  (call $answer (i32.const 0)))
