;; Returns a line of 40 MB, which is within the memory.
(func (export "lightmon:plugin/filter@0.1.0#process") (param $ps i32) (param $pn i32) (param $cs i32) (param $cn i32) (param $events i32) (param $n i32) (result i32)
  (drop (memory.grow (i32.const 640)))
  (i32.store8 (i32.const 1024) (i32.const 3))
  (i32.store (i32.const 1032) (i32.const 65536))
  (i32.store (i32.const 1036) (i32.const 40000000))
  (call $answer (i32.const 1)))
