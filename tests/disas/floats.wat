(module
  (func $truncate (param f64) (result i32)
    local.get 0
    i32.trunc_f64_s)
  (func $saturate (param f32) (result i64)
    local.get 0
    i64.trunc_sat_f32_s)
  (func $min (param f64 f64) (result f64)
    local.get 0
    local.get 1
    f64.min)
  (func $convert (param i64) (result f64)
    local.get 0
    f64.convert_i64_u))

;;; baseline: function 0 `truncate`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x10
;;;         movaps xmm8, xmm0
;;; i32.trunc_f64_s
;;;         cvttsd2si rax, xmm8
;;;         movsxd r11, eax
;;;         cmp r11, rax
;;;         jne L0
;;;         mov eax, eax
;;; end
;;;         leave
;;;         ret
;;; i32.trunc_f64_s
;;;     L0: ucomisd xmm8, xmm8
;;;         jp short L1
;;;         ud2 ; trap: integer overflow
;;;     L1: ud2 ; trap: invalid conversion to integer

;;; baseline: function 1 `saturate`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x10
;;;         movaps xmm8, xmm0
;;; i64.trunc_sat_f32_s
;;;         cvttss2si rax, xmm8
;;;         cmp rax, 1
;;;         jno short L0
;;;         xorps xmm15, xmm15
;;;         ucomiss xmm8, xmm15
;;;         mov eax, 0
;;;         jp short L0
;;;         mov rax, 0x7fffffffffffffff
;;;         ja short L0
;;;         mov rax, 0x8000000000000000
;;; end
;;;     L0: leave
;;;         ret

;;; baseline: function 2 `min`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x20
;;;         movaps xmm8, xmm0
;;;         movaps xmm9, xmm1
;;; f64.min
;;;         movaps xmm0, xmm8
;;;         ucomisd xmm0, xmm9
;;;         jne short L1
;;;         jp short L0
;;;         orps xmm0, xmm9
;;;         jmp short L2
;;;     L0: addsd xmm0, xmm9
;;;         jmp short L2
;;;     L1: minsd xmm0, xmm9
;;; end
;;;     L2: leave
;;;         ret

;;; baseline: function 3 `convert`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x10
;;;         mov r8, rsi
;;; f64.convert_i64_u
;;;         mov rax, r8
;;;         xorps xmm0, xmm0
;;;         test rax, rax
;;;         js short L0
;;;         cvtsi2sd xmm0, rax
;;;         jmp short L1
;;;     L0: mov r11, rax
;;;         shr r11, 1
;;;         and eax, 1
;;;         or r11, rax
;;;         cvtsi2sd xmm0, r11
;;;         addsd xmm0, xmm0
;;; end
;;;     L1: leave
;;;         ret

;;; optimizing: function 0 `truncate`
;;;         push rbp
;;;         mov rbp, rsp
;;; i32.trunc_f64_s
;;;         cvttsd2si eax, xmm0
;;;         cmp eax, 1
;;;         jno L0
;;;         ucomisd xmm0, xmm0
;;;         jp L1
;;;         mov rsi, 0xc1e0000000200000
;;;         movq xmm3, rsi
;;;         ucomisd xmm0, xmm3
;;;         jbe L2
;;;         xorpd xmm3, xmm3
;;;         ucomisd xmm3, xmm0
;;;         jb L3
;;; end
;;;     L0: mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; i32.trunc_f64_s
;;;     L1: ud2 ; trap: invalid conversion to integer
;;;     L2: ud2 ; trap: integer overflow
;;;     L3: ud2 ; trap: integer overflow

;;; optimizing: function 1 `saturate`
;;;         push rbp
;;;         mov rbp, rsp
;;; i64.trunc_sat_f32_s
;;;         cvttss2si rax, xmm0
;;;         cmp rax, 1
;;;         jno L1
;;;         ucomiss xmm0, xmm0
;;;         jnp L0
;;;         xor rax, rax
;;;         jmp L1
;;;     L0: xorpd xmm3, xmm3
;;;         ucomiss xmm3, xmm0
;;;         jae L1
;;;         mov rax, 0x7fffffffffffffff
;;; end
;;;     L1: mov rsp, rbp
;;;         pop rbp
;;;         ret

;;; optimizing: function 2 `min`
;;;         push rbp
;;;         mov rbp, rsp
;;;         movdqa xmm4, xmm0
;;;         movdqa xmm0, xmm1
;;; f64.min
;;;         ucomisd xmm0, xmm4
;;;         jne L1
;;;         jp L0
;;;         orpd xmm0, xmm4
;;;         jmp L2
;;;     L0: addsd xmm0, xmm4
;;;         jp L2
;;;     L1: minsd xmm0, xmm4
;;; end
;;;     L2: mov rsp, rbp
;;;         pop rbp
;;;         ret

;;; optimizing: function 3 `convert`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r8, rsi
;;; f64.convert_i64_u
;;;         cmp r8, 0
;;;         jl L0
;;;         cvtsi2sd xmm0, r8
;;;         jmp L1
;;;     L0: mov rdi, r8
;;;         shr rdi, 1
;;;         mov rsi, r8
;;;         and rsi, 1
;;;         or rsi, rdi
;;;         cvtsi2sd xmm0, rsi
;;;         addsd xmm0, xmm0
;;; end
;;;     L1: mov rsp, rbp
;;;         pop rbp
;;;         ret
