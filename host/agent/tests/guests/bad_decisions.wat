;; Returns seven actions. The host must ignore the first four: a tag for an event that does not exist, a tag whose key has control
;; characters, a set of a field that does not exist, and a line with a line break. The fifth is a tag whose value has an escape sequence
;; and a NUL, which is valid. The last two drop the second event twice.
(data (i32.const 256) "seenyes" "\1b[31m\00" "colour" "one\ntwo")
(data (i32.const 1024)
  "\01\00\00\00" "\e7\03\00\00" "\00\01\00\00" "\04\00\00\00" "\04\01\00\00" "\03\00\00\00"
  "\01\00\00\00" "\00\00\00\00" "\07\01\00\00" "\06\00\00\00" "\04\01\00\00" "\03\00\00\00"
  "\02\00\00\00" "\00\00\00\00" "\0d\01\00\00" "\06\00\00\00" "\04\01\00\00" "\03\00\00\00"
  "\03\00\00\00" "\00\00\00\00" "\13\01\00\00" "\07\00\00\00" "\00\00\00\00" "\00\00\00\00"
  "\01\00\00\00" "\00\00\00\00" "\00\01\00\00" "\04\00\00\00" "\07\01\00\00" "\06\00\00\00"
  "\00\00\00\00" "\01\00\00\00" "\00\00\00\00" "\00\00\00\00" "\00\00\00\00" "\00\00\00\00"
  "\00\00\00\00" "\01\00\00\00" "\00\00\00\00" "\00\00\00\00" "\00\00\00\00" "\00\00\00\00")
(func (export "lightmon:plugin/filter@0.1.0#process") (param $ps i32) (param $pn i32) (param $cs i32) (param $cn i32) (param $events i32) (param $n i32) (result i32)
  (call $answer (i32.const 7)))
