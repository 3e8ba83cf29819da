package mqtt

import (
	"context"
	"errors"
	"fmt"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// ErrLost is the error of a connection that was up.
var ErrLost = errors.New("the connection was lost")

// errRefused is home.ErrCredential, of a broker: the refused credential has no e-mail address.
var errRefused error = refusal{}

type refusal struct{}

func (refusal) Error() string        { return "the broker refused the credential" }
func (refusal) Is(target error) bool { return target == home.ErrCredential }

// wait waits for a token as long as ctx lasts, and turns paho's errors into ours.
func wait(ctx context.Context, tok paho.Token) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(20 * time.Second):
		return fmt.Errorf("no answer in 20 s: %w", home.ErrUnavailable)
	case <-tok.Done():
	}
	switch err := tok.Error(); {
	case err == nil:
		return nil
	case errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword), errors.Is(err, packets.ErrorRefusedNotAuthorised):
		return errRefused
	default:
		return fmt.Errorf("%w: %w", home.ErrUnavailable, err)
	}
}
