;; Never ends by itself.
(module (func (export "_start") (loop $again (br $again))))
