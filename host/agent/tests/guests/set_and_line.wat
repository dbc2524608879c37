;; Masks the second argument of the first event, and sets its line to the number of arguments of the first process.
(data (i32.const 256) "args/1***line 0")
(data (i32.const 1024)
  "\02\00\00\00" "\00\00\00\00" "\00\01\00\00" "\06\00\00\00" "\06\01\00\00" "\03\00\00\00"
  "\03\00\00\00" "\00\00\00\00" "\09\01\00\00" "\06\00\00\00" "\00\00\00\00" "\00\00\00\00")
(func (export "lightmon:plugin/filter@0.1.0#process") (param $ps i32) (param $pn i32) (param $cs i32) (param $cn i32) (param $events i32) (param $n i32) (result i32)
  ;; process: user, comm, path (12), args at 28 (present), 32 (list), 36 (length)
  (i32.store8 (i32.const 270) (i32.add (i32.const 48) (i32.load offset=36 (local.get $ps))))
  (call $answer (i32.const 2)))
