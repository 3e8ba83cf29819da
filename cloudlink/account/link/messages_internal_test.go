package link

import (
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

func TestEveryMessageHasARowAtTheService(t *testing.T) {
	types := wire.Types(wire.Outbox)
	for _, typ := range types {
		if messages[typ].answer == nil {
			t.Errorf("message %q has no row: add it in cloudlink/account/link/messages.go", typ)
		}
	}
	if len(messages) != len(types) {
		t.Errorf("%d rows for %d messages of members", len(messages), len(types))
	}
}
