/* Tensors and element types by hand-worked cases. */
#include "tensor/tensor.h"

#include "common/test.h"

#include <math.h>

static void test_shape(void **state)
{
    (void)state;
    float data[24];
    lm_tensor x = lm_tensor_of(data, LM_F32, 3, (int64_t[]){ 2, 3, 4 });
    assert_int_equal(lm_numel(&x), 24);
    assert_int_equal(lm_nbytes(&x), 96);
    assert_int_equal(lm_rows(&x), 6);
    assert_int_equal(lm_cols(&x), 4);
    assert_int_equal(lm_row_stride(&x), 4);
    assert_int_equal(x.stride[0], 12);
    assert_true(lm_is_contiguous(&x));
    char text[96];
    assert_string_equal(lm_shape_text(text, 3, x.dim), "[2, 3, 4]");
    assert_string_equal(lm_shape_text(text, 0, x.dim), "[]");
}

static void test_a_view_is_not_contiguous(void **state)
{
    (void)state;
    float data[24];
    lm_tensor x = lm_tensor_of(data, LM_F32, 2, (int64_t[]){ 4, 3 });
    x.stride[0] = 6;
    assert_false(lm_is_contiguous(&x));
    assert_int_equal(lm_row_stride(&x), 6);
    x.dim[0] = 1;                                          /* one row has no distance to the next */
    assert_true(lm_is_contiguous(&x));
}

static void test_empty_and_scalar(void **state)
{
    (void)state;
    lm_tensor none = lm_tensor_of(NULL, LM_BF16, 2, (int64_t[]){ 0, 7 }), one = lm_tensor_of(NULL, LM_F32, 0, NULL);
    assert_int_equal(lm_numel(&none), 0);
    assert_int_equal(lm_numel(&one), 1);
    assert_int_equal(lm_rows(&one), 1);
    assert_false(lm_same_shape(&none, &one));
}

static void test_type_names(void **state)
{
    (void)state;
    assert_int_equal(lm_dtype_parse("BF16"), LM_BF16);
    assert_int_equal(lm_dtype_parse("torch.float16"), LM_F16);
    assert_int_equal(lm_dtype_parse("float32"), LM_F32);
    assert_int_equal(lm_dtype_parse("F8_E4M3"), -1);
    for (int i = 0; i < LM_N_DTYPES; i++) {
        assert_int_equal(lm_dtype_parse(lm_dtype_name((lm_dtype)i)), i);
        assert_int_equal(lm_dtype_parse(lm_dtype_torch((lm_dtype)i)), i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape),
        cmocka_unit_test(test_a_view_is_not_contiguous),
        cmocka_unit_test(test_empty_and_scalar),
        cmocka_unit_test(test_type_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
