(module
  (memory 1)
  (func $add (param v128 v128) (result v128)
    local.get 0
    local.get 1
    i32x4.add)
  (func $splat (param i32) (result v128)
    local.get 0
    i8x16.splat)
  (func $constant (param v128) (result v128)
    local.get 0
    v128.const i64x2 1 2
    v128.xor)
  (func $load (param i32) (result f32)
    local.get 0
    v128.load offset=16
    f32x4.extract_lane 2)
  (func $shuffle (param v128 v128) (result v128)
    local.get 0
    local.get 1
    i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23))

;;; baseline: function 0 `add`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x30
;;;         movaps xmm8, xmm0
;;;         movaps xmm9, xmm1
;;; i32x4.add
;;;         movaps xmm0, xmm8
;;;         paddd xmm0, xmm9
;;; end
;;;         leave
;;;         ret

;;; baseline: function 1 `splat`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x10
;;;         mov r8d, esi
;;; i8x16.splat
;;;         movd xmm0, r8d
;;;         xorps xmm15, xmm15
;;;         pshufb xmm0, xmm15
;;; end
;;;         leave
;;;         ret

;;; baseline: function 2 `constant`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x20
;;;         movaps xmm8, xmm0
;;; v128.const i32x4 0x00000001 0x00000000 0x00000002 0x00000000
;;;         movaps xmm0, [rip+C0]
;;; v128.xor
;;;         movaps xmm1, xmm8
;;;         xorps xmm1, xmm0
;;; end
;;;         movaps xmm0, xmm1
;;;         leave
;;;         ret
;;; -
;;;     C0: constant 0x00000000000000020000000000000001

;;; baseline: function 3 `load`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x10
;;;         mov r8d, esi
;;;         mov r9, [rdi+0x40]
;;; v128.load offset=16
;;;         movups xmm0, [r9+r8+0x10] ; trap: out of bounds memory access
;;; f32x4.extract_lane 2
;;;         pshufd xmm0, xmm0, 2
;;; end
;;;         leave
;;;         ret

;;; baseline: function 4 `shuffle`
;;;         push rbp
;;;         mov rbp, rsp
;;;         sub rsp, 0x30
;;;         movaps xmm8, xmm0
;;;         movaps xmm9, xmm1
;;; i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23
;;;         movaps xmm0, xmm8
;;;         movaps xmm15, xmm9
;;;         pshufb xmm15, [rip+C0]
;;;         pshufb xmm0, [rip+C1]
;;;         por xmm0, xmm15
;;; end
;;;         leave
;;;         ret
;;; -
;;;     C0: constant 0x07060504808080800302010080808080
;;;     C1: constant 0x80808080070605048080808003020100

;;; optimizing: function 0 `add`
;;;         push rbp
;;;         mov rbp, rsp
;;; i32x4.add
;;;         paddd xmm0, xmm1
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret

;;; optimizing: function 1 `splat`
;;;         push rbp
;;;         mov rbp, rsp
;;; i8x16.splat
;;;         movd xmm0, esi
;;;         pxor xmm5, xmm5
;;;         pshufb xmm0, xmm5
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret

;;; optimizing: function 2 `constant`
;;;         push rbp
;;;         mov rbp, rsp
;;; v128.const i32x4 0x00000001 0x00000000 0x00000002 0x00000000
;;;         movdqu xmm3, [rip+C0]
;;; v128.xor
;;;         pxor xmm0, xmm3
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
;;; -
;;;     C0: constant 0x00000000000000020000000000000001

;;; optimizing: function 3 `load`
;;;         push rbp
;;;         mov rbp, rsp
;;;         mov r8, rsi
;;;         mov rsi, [rdi+0x40]
;;; v128.load offset=16
;;;         mov edi, r8d
;;;         movdqu xmm6, [rsi+rdi+0x10] ; trap: out of bounds memory access
;;; f32x4.extract_lane 2
;;;         pshufd xmm0, xmm6, 2
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret

;;; optimizing: function 4 `shuffle`
;;;         push rbp
;;;         mov rbp, rsp
;;; i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23
;;;         punpckldq xmm0, xmm1
;;; end
;;;         mov rsp, rbp
;;;         pop rbp
;;;         ret
