package shacrypt_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/devices/tpap/shacrypt"
)

// The first three are of glibc, for passwords as cameras use them; the others were computed by OpenSSL.
func TestHashesAreThoseOfCrypt(t *testing.T) {
	for _, c := range []struct {
		key, salt string
		rounds    int
		want      string
	}{
		{"pw", "saltsaltsaltsalt", 0, "$5$saltsaltsaltsalt$zjTLfLaH9duFBTcEYa3b3d99z3jRlh2J6dtAKvgBfX3"},
		{"pw", "x1hYMevsEYq2APg+", 0, "$5$x1hYMevsEYq2APg+$EfUglDzWFMq1vyU71IllvZRJ3uyCXthwTh6AyE179q3"},
		{
			"3F50F0C60B17CC29B0607AB0738B7ED3EC4F3C0C3885B9F3B39E94D89B03F87A", "saltsaltsaltsalt", 0,
			"$5$saltsaltsaltsalt$tivsGKRDLuRb3c9uySxJ0501UKG6HyV6t6Z4iRr4f25",
		},
		{"Hello world!", "saltstring", 5000, "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"},
		{
			"Hello world!", "saltstringsaltstring", 10000,
			"$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA",
		},
		{
			"a very much longer text to encrypt.  This one even stretches over morethan one line.",
			"anotherlongsaltstring", 1400,
			"$5$rounds=1400$anotherlongsalts$Rx.j8H.h8HjEDGomFU8bDkXm3XIUnzyxf12oP84Bnq1",
		},
		{"x", "a", 1000, "$5$rounds=1000$a$VbIDF0arCpWJaQNqhQUNvv2q0J63xNeUoG4WUjSmlQD"},
	} {
		got, err := shacrypt.Hash([]byte(c.key), []byte(c.salt), c.rounds)
		if err != nil || got != c.want {
			t.Errorf("%s, %s, %d: got %s, %v", c.key, c.salt, c.rounds, got, err)
		}
	}
}

func TestDemandsOutOfBoundsAreRefused(t *testing.T) {
	for _, rounds := range []int{-1, 999, shacrypt.MaxRounds + 1, 999_999_999} {
		if _, err := shacrypt.Hash([]byte("pw"), []byte("salt"), rounds); err == nil {
			t.Errorf("%d rounds are accepted", rounds)
		}
	}
	if _, err := shacrypt.Hash([]byte("pw"), []byte("sa$lt"), 0); err == nil {
		t.Error("a salt with a separator is accepted")
	}
}

// Any key and salt has a hash of one form, in which the salt stands as it was given.
func FuzzHashHasOneForm(f *testing.F) {
	f.Add([]byte("pw"), []byte("salt"))
	f.Add([]byte{}, []byte{})
	f.Add(bytes.Repeat([]byte{0}, 70), bytes.Repeat([]byte{0xff}, 40))
	f.Fuzz(func(t *testing.T, key, salt []byte) {
		if len(key) > 200 || bytes.IndexByte(salt, '$') >= 0 {
			return
		}
		got, err := shacrypt.Hash(key, salt, 1000)
		want := "$5$rounds=1000$" + string(salt[:min(len(salt), 16)]) + "$"
		if err != nil || !strings.HasPrefix(got, want) || len(got) != len(want)+43 {
			t.Fatalf("got %q, %v", got, err)
		}
	})
}
