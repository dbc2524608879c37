;; stop loops forever.
(func (export "lightmon:plugin/stop@0.1.0#stop") (param $now i64) (result i32)
  (loop $again (br $again))
  (unreachable))
