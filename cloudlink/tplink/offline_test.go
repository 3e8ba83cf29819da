package tplink_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/tplink"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestACloudThatIsNotReachedIsNoDaemonThatIsMissing(t *testing.T) {
	h := newHub(t)
	_, err := h.Login(t.Context(), tplink.Login{
		URL: "http://127.0.0.1:1", Email: "anna@example.org", Password: home.NewSecret("a-Password-of-1"),
	})
	if hint := home.HintOf(err); !errors.Is(err, home.ErrUnavailable) ||
		!strings.Contains(hint, "connection to the internet") {
		t.Errorf("%v; hint %q", err, hint)
	}
}
