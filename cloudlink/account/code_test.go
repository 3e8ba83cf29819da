package account_test

import (
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/account"
)

func TestACodeIsFoundInAPastedText(t *testing.T) {
	const code = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	const typed = "ABCD-EFGH-IJKL-MNOP-QRST-UVWX-YZ"
	for name, text := range map[string]string{
		"as mailed":            typed,
		"in lower case":        strings.ToLower(typed),
		"in one piece":         code,
		"in other groups":      "ABCDE FGHIJ KLMNO PQRST UVWXY Z",
		"no-break spaces":      strings.ReplaceAll(typed, "-", "\u00a0"),
		"narrow spaces":        strings.ReplaceAll(typed, "-", "\u202f"),
		"zero-width spaces":    strings.ReplaceAll(typed, "-", "-\u200b"),
		"no-break hyphens":     strings.ReplaceAll(typed, "-", "\u2011"),
		"en dashes":            strings.ReplaceAll(typed, "-", "\u2013"),
		"minus signs":          strings.ReplaceAll(typed, "-", "\u2212"),
		"soft hyphens":         strings.ReplaceAll(typed, "-", "\u00ad"),
		"a byte order mark":    "\ufeff" + typed,
		"broken lines":         "ABCD-EFGH-IJKL-\r\nMNOP-QRST-UVWX-YZ\r\n",
		"a word before":        "Code: " + typed,
		"a base32 word before": "CODE " + typed + ".",
		"a Russian sentence":   "Введите код " + typed + ", он действует 30 минут.",
		"the link":             "http://127.0.0.1:7354/reset#t=" + code,
		"the link in brackets": "<http://127.0.0.1:7354/reset#t=" + code + ">",
		"the link in a text":   "Open http://hub/rekeyd/reset#t=" + code + "\n\nor type the code",
	} {
		if got, ok := account.FindCode(text); !ok || got != code {
			t.Errorf("%s: %q, %t", name, got, ok)
		}
	}
	for _, text := range []string{
		"", "ABCD", code + "A", "1BCD-EFGH-IJKL-MNOP-QRST-UVWX-YZ", "my-password-of-26-characters",
		"http://127.0.0.1:7354/reset", "http://127.0.0.1:7354/reset#t=",
	} {
		if got, ok := account.FindCode(text); ok {
			t.Errorf("%q is taken for the code %q", text, got)
		}
	}
}

// FuzzFindCode states two laws: the result is a fixed point, and a code survives any invisible character in it.
func FuzzFindCode(f *testing.F) {
	f.Add("ABCD-EFGH-IJKL-MNOP-QRST-UVWX-YZ", 3)
	f.Add("\ufeff#t=ABCDEFGHIJKLMNOPQRSTUVWXYZ", 0)
	f.Fuzz(func(t *testing.T, text string, at int) {
		code, ok := account.FindCode(text)
		if !ok {
			return
		}
		if again, ok := account.FindCode(code); !ok || again != code {
			t.Errorf("%q is the code of %q, and gives %q", code, text, again)
		}
		at = (at%len(code) + len(code)) % len(code)
		if again, ok := account.FindCode(code[:at] + "\u200b" + code[at:]); !ok || again != code {
			t.Errorf("%q with a zero-width space at %d gives %q", code, at, again)
		}
	})
}
