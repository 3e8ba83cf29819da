package language

import "fmt"

func englishHouse() House {
	devices := func(n int) string { return englishMany(n, "device", "devices") }
	return House{
		Title: "Your house", Skip: "Skip to the content", Nav: "Pages", House: "House", History: "History",
		Account: "Account", SignIn: "Sign in", SignOut: "Sign out",
		Footer: "rekeyd keeps the devices of this house on the newest password of your account.",

		AllKept: func(n int) string {
			return englishMany(n, "device is", "devices are") + " on your newest password. Nothing is left to do."
		},
		NoneKept: func(n int) string {
			return englishMany(n, "device was", "devices were") + " found, and none is kept yet."
		},
		Kept: func(n int) string { return englishMany(n, "device is", "devices are") + " on your newest password." },
		Moved: func(n int) string {
			return "Your password was changed: " + englishMany(n, "device is", "devices are") + " being moved."
		},
		SomeNeed: func(kept, need int) string {
			return fmt.Sprintf("%d on your newest password, %s you.", kept, englishMany(need, "needs", "need"))
		},
		MovedSoFar: func(kept, need, all int) string {
			if need == 0 {
				return fmt.Sprintf("%d of %s moved.", kept, devices(all))
			}
			return fmt.Sprintf("%d of %s moved, %s you.", kept, devices(all), englishMany(need, "needs", "need"))
		},
		More: func(n int) string {
			return englishMany(n, "more device has", "more devices have") + " proved a password of yours and can be kept, too."
		},
		NothingFound: "No device was found yet. rekeyd goes on looking.",
		NeedYou:      "Need you", KeptGroup: "Kept", Others: "Others",
		Search: "Find a device", Find: "Find", NoMatch: "No device has such a name or address.",
		Password: func(n int) string { return fmt.Sprintf("password number %d", n) },
		LastSeen: "In this state since", Protocol: "Protocol", Address: "Address", Model: "Model", State: "State",
		WhatToDo: "What to do", Holds: "Holds",
		BindAll: "Keep all of them", Bind: "Keep this device on my newest password", Unbind: "Leave this device out",
		Rekey: "Try now", RekeyAll: "Try all now", Allow: "Allow that", Forbid: "Take that permission back",
		AllowText: "This device takes its password nearly in the clear, as from its own app: everyone on your network can " +
			"read it on its way. Allow that only if you trust everyone there.",
		Done: "Your order is on its way.", NotFound: "There is no such device or page.",
		Unreadable: "The state of the hub cannot be read. Its log has the reason.",
		Held:       "Somebody else may know the password that it holds, so it waits for your order.",
		StandsBy: func(hub string, n int) string {
			return fmt.Sprintf("The hub %s moves %s; this one stands by for them.", hub, devices(n))
		},
		LinkDown:  "The account service does not answer at the moment; the devices are as they were seen last.",
		Ended:     "Your password was probably changed at TP-Link.",
		EndedText: "Its cloud refuses this hub's sign-in. Give the new password once; the devices follow. On this hub, run:",

		Question: "Do you have a TP-Link account?",
		Vendor:   "Yes, the one of the Kasa and Tapo apps",
		VendorText: "rekeyd follows that account, and there is no second one to register. On this hub, run the command, and " +
			"give it the password of the app:",
		Own: "No", OwnText: "Then this hub's own account service has one for you. On this hub, run:",
		OnThisHub: "rekeyd setup asks the same questions, one by one, and leads to a house that is kept.",
		Register:  "Register on this site",

		SignInText: "Reading is free on the hub itself. To change something, or to read from another machine, sign in.",
		Code:       "Code", GoOn: "Sign in", WrongCode: "This code was used, or is wrong or too old.",
		SignInFirst: "Sign in to go on.", PagePassword: "Password of this hub", WithoutPassword: "Without a password",
		CodeText: "No password yet, or a forgotten one? On the hub run this command, and open its link or type its code " +
			"here. The password of your account is another one: it does not open this page.",
		AllStates: "All", Probe: "Ask it now", Forget: "Forget this device", Rename: "Rename",
		NameHere:  "Its name at this hub",
		Passwords: "Passwords", PasswordsTitle: "Passwords of your account", LoginTitle: "Sign this hub in",
		LoginText: "The hub follows one account. Its password goes to the account's service and into the hub's sealed vault, " +
			"and to nobody else.",
		LoginButton: "Sign the hub in", IChangedIt: "I have changed my password",
		IChangedText:   "Type the new password once. The hub signs in with it, and moves every device that is yours.",
		NewestPassword: "The newest password",
		ExposedAsk:     "Somebody else may know the old one: ask me before a device is moved",
		VendorChoice:   "TP-Link account, the one of the Kasa and Tapo apps", OwnChoice: "An account at this hub's own service",
		VendorCode: "Code, where TP-Link has sent one by e-mail", Earlier: "An earlier password",
		EarlierText: "A device that was set up long ago may hold a password from before this hub. With it the hub can open " +
			"that device and move it. Devices are asked, and no password is sent where it does not fit.",
		EarlierField: "Earlier password", EarlierButton: "Remember it",
		EarlierDone: func(added int) string {
			if added == 0 {
				return "The hub knew that password."
			}
			return "The hub knows one password more, and asks the devices now."
		},
		LoginDone:       "The hub is signed in. Your devices are being asked.",
		ChangeElsewhere: "The password of this account is changed on its own page:",
		WrongPassword:   "The password is wrong.",
		TooManyGuesses:  "Too many wrong passwords. Wait some minutes, or sign in with a code.",
		Access:          "Access", ChoosePassword: "Choose a password for this hub", NotNow: "Not now",
		Save: "Save the password",
		AccessText: "This password opens the pages of this hub, from every machine of your network. It is not the password of " +
			"your account: choose another one.",
		PasswordLost: "Forgotten? Set a new one on the hub with:",
		PasswordSet:  "The password is set. Every other browser was signed out.",
		PasswordRule: func(least int) string {
			return fmt.Sprintf("At least %d characters, and not one that everybody tries first.", least)
		},
		Browsers: "Browsers", EndBrowsers: "Sign every browser out",
		BrowsersText: func(n int) string {
			return englishMany(n, "browser is", "browsers are") + " signed in, this one included."
		},
	}
}
