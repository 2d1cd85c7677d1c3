#include "app/bars.h"

#include <stdio.h>
#include <string.h>

enum { WIDTH = 860, MARGIN = 24, LABELS = 230, BAR = 18, STEP = 24, HEAD = 34, TITLE = 56, VALUES = 110, LONGEST_NAME = 30 };

static const char *const colours[] = { "#3b6fb6", "#d9822b", "#3f9c6b", "#b8475a", "#7a5fb0", "#6f6f6f", "#c2a21c", "#2a9da8" };

static void escape(lm_str *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        switch (text[i]) {
        case '&': lm_str_puts(out, "&amp;"); break;
        case '<': lm_str_puts(out, "&lt;"); break;
        case '>': lm_str_puts(out, "&gt;"); break;
        case '"': lm_str_puts(out, "&quot;"); break;
        default: lm_str_putc(out, (unsigned char)text[i] < 0x20 ? ' ' : text[i]);
        }
    }
}

static void put_text(lm_str *out, double x, double y, const char *style, const char *text, size_t columns)
{
    size_t n = strlen(text);
    if (lm_utf8_valid(text, n) < n) text = "?", n = 1;
    size_t whole = lm_text_fit(text, n, columns);
    lm_str_printf(out, "<text x=\"%.0f\" y=\"%.0f\" %s>", x, y, style);
    escape(out, text, whole);
    if (whole < n) lm_str_puts(out, "\xE2\x80\xA6");
    lm_str_puts(out, "</text>\n");
}

static void put_panel(lm_str *out, double y, const lm_panel *panel, const char *const *names, int n)
{
    double largest = 0, room = WIDTH - 2 * MARGIN - LABELS - VALUES;
    for (int i = 0; i < n; i++)
        if (panel->values[i] > largest) largest = panel->values[i];
    put_text(out, MARGIN, y + 16, "class=\"panel\"", panel->title, 90);
    for (int i = 0; i < n; i++) {
        double top = y + HEAD + i * STEP, length = largest > 0 ? room * panel->values[i] / largest : 0;
        char value[64];
        snprintf(value, sizeof value, "%.*f%s", panel->values[i] < 10 ? 3 : 1, panel->values[i], panel->unit);
        put_text(out, MARGIN + LABELS - 10, top + 14, "class=\"name\" text-anchor=\"end\"", names[i], LONGEST_NAME);
        lm_str_printf(out, "<rect x=\"%d\" y=\"%.0f\" width=\"%.1f\" height=\"%d\" rx=\"2\" fill=\"%s\"/>\n", MARGIN + LABELS, top, length < 1 ? 1 : length, BAR,
                      colours[(size_t)i % (sizeof colours / sizeof *colours)]);
        put_text(out, MARGIN + LABELS + length + 8, top + 14, "class=\"value\"", value, 40);
    }
}

void lm_bars_svg(lm_str *out, const char *title, const char *const *names, int n, const lm_panel *panels, int n_panels)
{
    int panel = HEAD + n * STEP + 18, height = TITLE + n_panels * panel + MARGIN;
    lm_str_printf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n", WIDTH, height, WIDTH, height);
    lm_str_puts(out, "<style>text { font-family: 'Noto Sans KR', 'Noto Sans CJK KR', 'Apple SD Gothic Neo', 'Malgun Gothic', 'NanumGothic', sans-serif; fill: #222 }\n"
                     ".title { font-size: 18px; font-weight: bold } .panel { font-size: 14px; font-weight: bold }\n"
                     ".name, .value { font-size: 13px } .value { fill: #555 }</style>\n"
                     "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n");
    put_text(out, MARGIN, 36, "class=\"title\"", title, 90);
    for (int i = 0; i < n_panels; i++) put_panel(out, TITLE + i * panel, &panels[i], names, n);
    lm_str_puts(out, "</svg>\n");
}
