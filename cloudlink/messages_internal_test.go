package cloudlink

import (
	"slices"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

func TestEveryMessageHasARowAtTheMember(t *testing.T) {
	const missing = "message %q has no row: add it in cloudlink/messages.go"
	inbox := wire.Types(wire.Inbox)
	answers := []string{"refusal"}
	for _, typ := range wire.Types(wire.Outbox) {
		row, ok := messages[typ]
		if !ok {
			t.Errorf(missing, typ)
		}
		if row.answer != "" && !slices.Contains(inbox, row.answer) {
			t.Errorf("%q is answered by %q, which no service sends", typ, row.answer)
		}
		answers = append(answers, row.answer)
	}
	for _, typ := range inbox {
		row := messages[typ]
		if row.take == nil {
			t.Errorf(missing, typ)
		}
		if !row.unasked && !slices.Contains(answers, typ) {
			t.Errorf("message %q answers no request, and does not come unasked", typ)
		}
	}
	if all := len(inbox) + len(wire.Types(wire.Outbox)); len(messages) != all {
		t.Errorf("%d rows for %d messages", len(messages), all)
	}
}
