(module
  (import "host" "end" (func $end (param i32)))
  (func $down (param $n i32) (param $more i64) (result i64)
    local.get $n
    i32.eqz
    if
      local.get $more
      return
    end
    local.get $n
    i32.const 1
    i32.sub
    local.get $more
    return_call $down)
  (func $leave (param i32)
    local.get 0
    return_call $end))

;;; baseline: function 1 `down`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r11, [rdi+8]
;;;         sub rsp, 0x20
;;;         cmp rsp, [r11]
;;;         jb L1
;;;         mov [rbp-8], r15
;;;         mov r15, rdi
;;;         mov [rbp-0x10], esi
;;;         mov [rbp-0x18], rdx
;;; i32.eqz
;;;         mov eax, [rbp-0x10]
;;;         test eax, eax
;;; if ;; label = @1
;;;         jne L0
;;; return
;;;         mov rax, [rbp-0x18]
;;;         mov r15, [rbp-8]
;;;         leave
;;;         ret
;;; i32.sub
;;;     L0: mov eax, [rbp-0x10]
;;;         sub eax, 1
;;; return_call $down
;;;         mov esi, eax
;;;         mov rdx, [rbp-0x18]
;;;         mov rdi, r15
;;;         mov r15, [rbp-8]
;;;         leave
;;;         jmp qword ptr [rip+slot of down]
;;; -
;;;     L1: ud2 ; trap: call stack exhausted

;;; baseline: function 2 `leave`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r11, [rdi+8]
;;;         sub rsp, 0x10
;;;         cmp rsp, [r11]
;;;         jb L0
;;;         mov [rbp-8], r15
;;;         mov r15, rdi
;;;         mov [rbp-0x10], esi
;;; return_call $end
;;;         mov r11, [r15+8]
;;;         mov [r11+0x10], r15
;;;         mov esi, [rbp-0x10]
;;;         mov rdi, [r15+0x48]
;;;         mov rax, [r15+0x40]
;;;         mov r15, [rbp-8]
;;;         leave
;;;         jmp qword ptr [rax] ; calls $end
;;; -
;;;     L0: ud2 ; trap: call stack exhausted

;;; optimizing: function 1 `down`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r10, [rdi+8]
;;;         mov r10, [r10]
;;;         add r10, 0x10
;;;         cmp r10, rsp
;;;         ja L1
;;; if ;; label = @1
;;;         test esi, esi
;;;         je L0
;;; i32.sub
;;;         sub esi, 1
;;; return_call $down
;;;         mov r10, [rip+slot of down]
;;;         mov rsp, rbp
;;;         pop rbp
;;;         jmp r10 ; calls $down
;;; -
;;;     L0: mov rax, rdx
;;; return
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; -
;;;     L1: ud2 ; trap: call stack exhausted

;;; optimizing: function 2 `leave`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r10, [rdi+8]
;;;         mov r10, [r10]
;;;         add r10, 0x10
;;;         cmp r10, rsp
;;;         ja L0
;;;         mov r8, [rdi+0x40]
;;; return_call $end
;;;         mov r10, [r8]
;;; -
;;;         mov r8, [rdi+8]
;;; return_call $end
;;;         mov [r8+0x10], rdi
;;; -
;;;         mov rdi, [rdi+0x48]
;;; return_call $end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         jmp r10 ; calls $end
;;; -
;;;     L0: ud2 ; trap: call stack exhausted
