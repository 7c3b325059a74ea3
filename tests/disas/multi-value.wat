(module
  (func $two (param i32 f64) (result f64 i32)
    local.get 1
    local.get 0)
  (func $swap (param i32 f64) (result i32 f64)
    (local f64)
    local.get 0
    local.get 1
    call $two
    local.set 0
    local.set 2
    local.get 0
    local.get 2)
  (func $block (param i32 i32) (result i32)
    local.get 0
    local.get 1
    block (param i32 i32) (result i32 i32)
      local.get 0
      br_if 0
    end
    i32.sub))

;;; baseline: function 0 `two`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x20
;;;         mov r8d, esi
;;;         movaps xmm8, xmm0
;;; end
;;;         mov eax, r8d
;;;         movaps xmm0, xmm8
;;;         leave
;;;         ret

;;; baseline: function 1 `swap`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r11, [rdi+8]
;;;         sub rsp, 0x30
;;;         cmp rsp, [r11]
;;;         jb L0
;;;         mov [rbp-8], r15
;;;         mov r15, rdi
;;;         mov [rbp-0x10], esi
;;;         movsd [rbp-0x18], xmm0
;;;         xorps xmm15, xmm15
;;;         movups [rbp-0x28], xmm15
;;; call $two
;;;         mov esi, [rbp-0x10]
;;;         movsd xmm0, [rbp-0x18]
;;;         mov rdi, r15
;;;         call qword ptr [rip+slot of two]
;;;         mov eax, eax
;;; local.set 0
;;;         mov [rbp-0x10], eax
;;; local.set 2
;;;         movsd [rbp-0x20], xmm0
;;; end
;;;         mov eax, [rbp-0x10]
;;;         movsd xmm0, [rbp-0x20]
;;;         mov r15, [rbp-8]
;;;         leave
;;;         ret
;;; -
;;;     L0: ud2 ; trap: call stack exhausted

;;; baseline: function 2 `block`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x20
;;;         mov r8d, esi
;;;         mov r10d, edx
;;; br_if 0 (;@1;)
;;;         test r8d, r8d
;;;         je L0
;;;         mov [rbp-0x20], r8d
;;;         mov eax, r10d
;;;         jmp L1
;;; end
;;;     L0: mov [rbp-0x20], r8d
;;;         mov eax, r10d
;;; i32.sub
;;;     L1: mov ecx, [rbp-0x20]
;;;         sub ecx, eax
;;; end
;;;         mov eax, ecx
;;;         leave
;;;         ret

;;; optimizing: function 0 `two`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov rax, rsi
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret

;;; optimizing: function 1 `swap`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r10, [rdi+8]
;;;         mov r10, [r10]
;;;         add r10, 0x10
;;;         cmp r10, rsp
;;;         ja L0
;;; call $two
;;;         mov r8, [rip+slot of two]
;;;         call r8 ; calls $two
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; -
;;;     L0: ud2 ; trap: call stack exhausted

;;; optimizing: function 2 `block`
;;;         push rbp
;;;         mov rbp, rsp
;;; br_if 0 (;@1;)
;;;         test esi, esi
;;; -
;;;         mov rax, rsi
;;; i32.sub
;;;         sub eax, edx
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
