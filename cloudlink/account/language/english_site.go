package language

import (
	"fmt"
	"time"
)

func englishSite() Site {
	devices := func(n int) string { return englishMany(n, "device", "devices") }
	return Site{
		Account: "Your account", Skip: "Skip to the content",
		Devices: "Devices", Hubs: "Hubs", Sessions: "Sessions", Password: "Password", History: "History", SignOut: "Sign out",
		Plain: "This page is not encrypted: whoever listens on this network can read the password that you type here.",
		Time:  englishTime, Door: englishDoor,
		DoorName: map[string]string{"kasa": "Kasa app", "tpcamera": "tpCamera app", "web": "Website"},
		PasswordRule: func(least, most int) string {
			return fmt.Sprintf("%d to %d letters, digits and signs of ASCII, no spaces: your devices can hold no "+
				"others.", least, most)
		},
		Strength: [3]string{
			"Easily guessed: make it longer, or mix several words.", "Fair. Longer is better.", "Strong.",
		},
		Email: "E-mail address", PasswordLabel: "Password", NewPassword: "New password", OnceMore: "The same again",

		SignIn: "Sign in", SignInFirst: "Sign in to go on.", SignedOut: "You are signed out.",
		ToForgot: "Forgot your password?", ToRegister: "Register a new account", ToCode: "I have a code from a mail",
		ToNotMe:  "Somebody else has changed my password",
		Register: "Register", RegisterText: "One account serves the tpCamera app, the Kasa app and this website. Devices " +
			"compare the address letter by letter: " +
			"write it just as you will write it in the apps.",
		RegisterMailed: "A mail is on its way to you, with a link and a code. Open the link to activate your account. It " +
			"may take a minute.",
		Registered: "Your account is ready. Sign in with the password that you have chosen.",
		Activate:   "Activate your account", ActivateText: "Press the button, and your account is ready.",
		Activated: "Your account is active. Sign in with the password that you have chosen.",
		Forgot:    "Forgot your password?", ForgotEmail: "E-mail address with which you registered", OK: "OK",
		Mailed: "Look into your mail",
		MailedText: "If there is an account with this address, a mail is on its way to it, with a link and a code. It may " +
			"take a minute.",
		ResendText: "Nothing has come? Look among the junk mail. After 60 seconds you can have it sent again.",
		Resend:     "Resend",
		Reset:      "Reset your password", CodeLabel: "Code from the mail", GoOn: "Go on",
		Choose: "Choose a new password", For: "Account:", Save: "Save",
		HubsWho:     "Hubs that will give the new password to your devices",
		HubsWhoText: "Take away the mark from each hub that is not yours: it is removed, with the devices that it holds.",
		NoHubsWho:   "No hub belongs to this account. You will have to give the new password to your devices yourself.",
		Exposed:     "Why do you choose a new password?",
		Forgotten:   "I forgot the old one, or want another",
		Known:       "Somebody else may know the old one",
		ExposedText: "Who knows the old password and listens in your network can learn the new one while devices receive " +
			"it. " +
			"With the second answer your hubs ask you before they give it to any device.",
		NoneInformed: "No hub was informed: no device receives the new password from here.",
		Informed: func(n int) string {
			return englishMany(n, "hub is", "hubs are") + " informed of the new password."
		},
		Hub:           func(name string, n int) string { return name + " (" + devices(n) + ")" },
		ResetDone:     "Your password is reset",
		ResetDoneText: "Every app is signed out. Sign in with the new password: in the tpCamera app, in the Kasa app, here.",
		SignInNow:     "Sign in",
		ProgressTitle: "Your devices", ProgressNone: "No devices belong to this account.",
		AllDone: "You need do nothing more.",
		Progress: func(done, all int) string {
			return fmt.Sprintf("%d of %s signed in again.", done, englishMany(all, "device is", "devices are"))
		},
		ProgressNeed: func(done, need int) string {
			return fmt.Sprintf("%d signed in, %s you.", done, englishMany(need, "needs", "need"))
		},
		NeedText: "The hubs can do no more: the list has the next step for each device.",
		Waiting:  "The hubs are at work. You can close this page, they go on.",
		NotMe:    "This was not me",
		NotMeText: "If you did not change the password: this signs everybody out, closes the account to the password that " +
			"was set, removes the hubs that were " +
			"added since, and sends you a mail with which you choose a new password.",
		NotMeButton:   "It was not me: take my account back",
		NotMeDone:     "Your account is closed to everybody else",
		NotMeDoneText: "Everybody is signed out. A mail with a link is on its way to you: choose a new password with it.",
		Name:          "Name", Kind: "Kind", Verdict: "State", When: "Since", HubLabel: "Hub",
		NoDevices: "No devices belong to this account yet. Add a hub, and bind your devices there with: rekeyd bind --all",
		SignedIn:  "signed in", NotYet: "not signed in yet",
		Kinds: map[string]string{"camera": "Camera", "plug": "Plug", "switch": "Switch", "bulb": "Bulb", "other": "Other"},
		Verdicts: map[string]string{
			"current": "holds the newest password", "stale": "holds an older password", "default": "on its factory setting",
			"blank":   "belongs to no account",
			"foreign": "belongs to another account", "mismatch": "holds an unknown password",
			"third-party-off": "takes no orders from here", "locked-out": "takes no sign-ins for now",
			"waiting":     "waits until it may be asked again",
			"refusing":    "refused many sign-ins in a row, and is asked no more",
			"unreachable": "does not answer", "unsupported": "not spoken to", "not-asked": "not asked yet",
			"pending": "waits for its cloud", "wrong-case": "set up with another spelling of the address",
			"reverted":  "went back to an older password",
			"was-reset": "was reset, or is another device", "downgraded": "uses an older protocol than before",
		},
		Hints: map[string]string{
			"default":         "Add it to your account in its app, or bind it at your hub.",
			"blank":           "Add it to your account in its app, or bind it at your hub.",
			"foreign":         "If it is yours, remove it from the other account in its app first.",
			"mismatch":        "Change its password in its own app, or reset it to its factory settings and add it again.",
			"third-party-off": "Turn on Third-Party Compatibility in the Tapo app.",
			"locked-out":      "Wait: the hub tries again by itself.", "waiting": "Wait: the hub tries again by itself.",
			"refusing":    "Once you know that it has a password of yours, try it again. Else change its password in its own app.",
			"unreachable": "Switch it on and see that it is in the network. The hub goes on by itself.",
			"unsupported": "Change its password in its own app.",
			"was-reset":   "If you reset it, or put another one in its place, bind it again at your hub.",
			"downgraded":  "If you replaced it, unbind it at your hub and bind it again.",
			"pending":     "Give it access to the internet.",
			"wrong-case":  "Add it again in its app, with the address spelled as you registered it.",
			"reverted":    "See in its app that it is online and signed in to your account.",
		},
		Version: "Version", Since: "Since", Epoch: "Password number", Remove: "Remove",
		NoHubs:  "No hub belongs to this account yet.",
		HubIs:   map[bool]string{true: "online", false: "offline"},
		Approve: "Add a hub",
		ApproveText: "A hub gives new passwords to your devices. Add only one that is yours, and give your password once " +
			"more: the hub is told it.", ApproveButton: "Show the word for a new hub",
		Approved: "The word for your new hub",
		ApprovedText: func(life time.Duration) string {
			return fmt.Sprintf("On the hub run rekeyd login --pair, and give it this word. It works once, for %s. Show it to "+
				"nobody.",
				englishMany(int(life.Minutes()), "minute", "minutes"))
		},
		RemoveHub: "Remove this hub?",
		RemoveAsk: func(name string, n int) string {
			return fmt.Sprintf("%s is to be removed, with the %s that it holds. It can be added again.", name, devices(n))
		},
		Cancel: "Cancel", HubRemoved: "The hub is removed.",
		DoorLabel: "Door", This: "this one", End: "End", EndAll: "End all sessions",
		EndAllAsk:    "Every app is signed out, and so are you here.",
		SessionEnded: "The session is ended.", SessionGone: "There is no such session any more.",
		OldPassword: "Present password", Change: "Change the password",
		ChangeText: "Every app is signed out, and so are you here. Your hubs give the new password to your devices.",
		Changed:    "Your password is changed", ChangedText: "Sign in with the new password, in every app.",
		What: "What", Details: "Details", NoHistory: "Nothing yet.",
		Events: map[string]string{
			"account registered": "Account registered", "account activated": "Account activated",
			"reset requested": "Reset asked for", "password changed": "Password changed",
			"change disowned": "“This was not me”", "all sessions ended": "All sessions ended",
			"session ended": "Session ended", "pairing made": "Word for a new hub shown",
			"hub enrolled": "Hub added", "hub removed": "Hub removed", "device enrolled": "Device added",
			"epoch begun behind a hub's": "Account continued after a restore",
			"mail given up":              "A mail could not be delivered",
		},
		Causes: map[string]string{
			"reset": "after a forgotten one", "changed": "with the old one", "registered": "at the registration",
		},

		Wrong:        "The e-mail address or the password is wrong.",
		NotActivated: "Activate your account first, with the link in the mail that came when you registered.",
		Differ:       "The two passwords differ.", BadEmail: "This is no e-mail address. Write it as you registered it.",
		BadForm:     "This form cannot be read.",
		NoCode:      "This is no code from a mail. Copy the whole code, or the whole link.",
		LinkDead:    "This link or code was used, or replaced by a newer one, or is too old. Ask for a new one.",
		CannotReset: "The password was changed since this mail. Ask for a new one.",
		EmailTaken:  "There is an account with this address already.",
		Busy:        "That did not work. Try again in a minute.", NoPage: "There is no such page.",
		TooMany: "Too many at once. Try again in a minute.", TooManySessions: "Too many pages like this one are open.",
		HubGone: "There is no such hub in your account any more.",
		Locked:  "Too many wrong passwords: the account is locked for a while. Reset the password to unlock it now.",
		Weak: map[string]string{
			"common": "This password is one of those that are tried first. Choose another.",
			"email":  "The password must not be made of your e-mail address.",
			"same":   "The new password is the old one. Choose another.",
		},
	}
}
