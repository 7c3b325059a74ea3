(module
  (func (param i32) (result i32)
    block $c
      block $b
        block $a
          local.get 0
          br_table $a $b $a $c
        end
        i32.const 10
        return
      end
      i32.const 20
      return
    end
    i32.const 30))

;;; baseline: function 0 `func[0]`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x10
;;;         mov r8d, esi
;;; br_table $a $b $a $c
;;;         mov eax, r8d
;;;         mov r11d, 3
;;;         cmp eax, r11d
;;;         cmovae eax, r11d
;;;         lea r11, [rip+T0]
;;;         movsxd rax, [r11+rax*4]
;;;         add rax, r11
;;;         jmp rax
;;;     T0: table L0, L1, L0, L2
;;; return
;;;     L0: mov eax, 0xa
;;;         leave
;;;         ret
;;; return
;;;     L1: mov eax, 0x14
;;;         leave
;;;         ret
;;; end
;;;     L2: mov eax, 0x1e
;;;         leave
;;;         ret

;;; optimizing: function 0 `func[0]`
;;;         push rbp
;;;         mov rbp, rsp
;;; br_table $a $b $a $c
;;;         mov edi, 3
;;;         mov r8d, esi
;;;         cmp r8d, edi
;;;         cmovb edi, r8d
;;;         lea rcx, [rip+T0]
;;;         movsxd rax, [rcx+rdi*4]
;;;         add rcx, rax
;;;         jmp rcx
;;;     T0: table L1, L0, L1, L2
;;; i32.const 20
;;;     L0: mov eax, 0x14
;;; return
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; i32.const 10
;;;     L1: mov eax, 0xa
;;; return
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; i32.const 30
;;;     L2: mov eax, 0x1e
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
