;;! polls = on
(module
  (func $spin
    loop $again
      br $again
    end)
  (func $calls
    call $spin)
  (func $leaf (param i32) (result i32)
    local.get 0))

;;; baseline: function 0 `spin`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x10
;;;         mov r11, [rdi+0x18]
;;;         movzx r11d, byte ptr [r11] ; poll
;;; loop $again
;;;     L0: mov r11, [rdi+0x18]
;;;         movzx r11d, byte ptr [r11+1] ; poll
;;; br $again
;;;         jmp short L0

;;; baseline: function 1 `calls`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r11, [rdi+8]
;;;         sub rsp, 0x10
;;;         cmp rsp, [r11]
;;;         jb L0
;;;         mov [rbp-8], r15
;;;         mov r15, rdi
;;;         mov r11, [r15+0x18]
;;;         movzx r11d, byte ptr [r11] ; poll
;;; call $spin
;;;         mov rdi, r15
;;;         call qword ptr [rip+slot of spin]
;;; end
;;;         mov r15, [rbp-8]
;;;         leave
;;;         ret
;;; -
;;;     L0: ud2 ; trap: call stack exhausted

;;; baseline: function 2 `leaf`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x10
;;;         mov r8d, esi
;;;         mov r11, [rdi+0x18]
;;;         movzx r11d, byte ptr [r11] ; poll
;;; end
;;;         mov eax, r8d
;;;         leave
;;;         ret

;;; optimizing: function 0 `spin`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov rsi, [rdi+0x18]
;;; loop $again
;;;     L0: movzx rdi, byte ptr [rsi+1] ; poll
;;; br $again
;;;         jmp L0

;;; optimizing: function 1 `calls`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r10, [rdi+8]
;;;         mov r10, [r10]
;;;         add r10, 0x10
;;;         cmp r10, rsp
;;;         ja L0
;;;         mov rsi, [rdi+0x18]
;;;         movzx rsi, byte ptr [rsi] ; poll
;;; call $spin
;;;         mov rsi, [rip+slot of spin]
;;;         call rsi ; calls $spin
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; -
;;;     L0: ud2 ; trap: call stack exhausted

;;; optimizing: function 2 `leaf`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov rax, rsi
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
