package language

import (
	"fmt"
	"time"
)

func englishMail() Mail {
	span := func(d time.Duration) string {
		if d >= 2*time.Hour && d%time.Hour == 0 {
			return englishMany(int(d/time.Hour), "hour", "hours")
		}
		return englishMany(max(1, int(d/time.Minute)), "minute", "minutes")
	}
	return Mail{
		Reset: func(door string, life time.Duration) Letter {
			return Letter{
				Subject: "Reset your password",
				Before: []string{fmt.Sprintf("Somebody asked through %s to reset the password of your account. If it was you, "+
					"open this link within %s and choose a new password:", englishDoor(door), span(life))},
				Link:  "Choose a new password",
				After: []string{"If it was not you, do nothing: nothing has changed."},
			}
		},
		Activate: func(life time.Duration) Letter {
			return Letter{
				Subject: "Activate your account",
				Before: []string{fmt.Sprintf("Somebody registered an account with this address. If it was you, open this link "+
					"within %s:", span(life))},
				Link:  "Activate the account",
				After: []string{"If it was not you, do nothing: the account stays closed."},
			}
		},
		Taken: func() Letter {
			return Letter{
				Subject: "You already have an account",
				Before: []string{"Somebody tried to register an account with this address, which has one already. If it was you " +
					"and you forgot the password, ask for a new one here:"},
				Link:  "Forgot your password?",
				After: []string{"If it was not you, do nothing: nothing has changed."},
			}
		},
		Changed: func(at time.Time, door string, reset bool) Letter {
			how := "with the old password"
			if reset {
				how = "after it was forgotten"
			}
			return Letter{
				Subject: "Your password was changed",
				Before: []string{
					fmt.Sprintf("The password of your account was changed on %s, through %s, %s. Every app was signed out: sign in "+
						"with the new password. Your hubs give it to your devices.", englishTime(at), englishDoor(door), how),
					"If this was not you, open this link. It signs everybody out, removes the hubs that were added since, and sends " +
						"you a mail with which you choose a new password:",
				},
				Link: "This was not me",
			}
		},
		HubAdded: func(at time.Time, hub string) Letter {
			return Letter{
				Subject: "A hub was added to your account",
				Before: []string{
					fmt.Sprintf("The hub %q was added to your account on %s. "+
						"A hub receives every new password of the account, and gives it to your devices.", hub, englishTime(at)),
					"If this was not you, open this link. It signs everybody out, removes this hub and those that were added later, " +
						"and sends you a mail with which you choose a new password:",
				},
				Link: "This was not me",
			}
		},
		Code:   func(page string) string { return fmt.Sprintf("Or type this code at %s:", page) },
		Footer: "This mail was sent by a machine. Nobody reads what is answered to it.",
	}
}
