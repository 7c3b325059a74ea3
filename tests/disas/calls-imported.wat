(module
  (import "host" "log" (func $log (param i32)))
  (func (param i32)
    local.get 0
    call $log))

;;; baseline: function 1 `func[1]`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r11, [rdi+8]
;;;         sub rsp, 0x10
;;;         cmp rsp, [r11]
;;;         jb L0
;;;         mov [rbp-8], r15
;;;         mov r15, rdi
;;;         mov [rbp-0x10], esi
;;; call $log
;;;         mov r11, [r15+8]
;;;         mov [r11+0x10], r15
;;;         mov esi, [rbp-0x10]
;;;         mov rdi, [r15+0x48]
;;;         mov rax, [r15+0x40]
;;;         call qword ptr [rax] ; calls $log
;;; end
;;;         mov r15, [rbp-8]
;;;         leave
;;;         ret
;;; -
;;;     L0: ud2 ; trap: call stack exhausted

;;; optimizing: function 1 `func[1]`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r10, [rdi+8]
;;;         mov r10, [r10]
;;;         add r10, 0x10
;;;         cmp r10, rsp
;;;         ja L0
;;;         mov r8, [rdi+0x40]
;;; call $log
;;;         mov r8, [r8]
;;; -
;;;         mov r9, [rdi+8]
;;; call $log
;;;         mov [r9+0x10], rdi
;;; -
;;;         mov rdi, [rdi+0x48]
;;; call $log
;;;         call r8 ; calls $log
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; -
;;;     L0: ud2 ; trap: call stack exhausted
