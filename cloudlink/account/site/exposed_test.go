package site_test

import "testing"

func TestEachChangeAsksWhetherTheOldPasswordIsExposed(t *testing.T) {
	v := visit(t, nil)
	v.register()
	const question, known = "Why do you choose a new password?", "Somebody else may know the old one"
	exposed := func(epoch uint64, want bool) {
		t.Helper()
		a, err := v.st.AccountByEmail(email)
		must(t, err)
		if a.Notice.Epoch != epoch || a.Notice.Exposed != want {
			t.Errorf("the notice is of epoch %d, exposed %v; want %d, %v", a.Notice.Epoch, a.Notice.Exposed, epoch, want)
		}
	}
	reset := func(password string, answer ...string) {
		t.Helper()
		token := v.forgot()
		v.shows(v.post("/reset", "token", token), 200, question, known, `value="no" checked`)
		form := append([]string{"token", token, "chosen", "1", "password", password, "again", password}, answer...)
		v.shows(v.post("/reset", form...), 200, "Your password is reset")
	}
	reset(second)
	exposed(2, false)
	reset(third, "exposed", "yes")
	exposed(3, true)

	v.shows(v.signIn(third), 200, "Devices")
	v.shows(v.get("/account/password"), 200, question, known, `value="no" checked`)
	// the answer outlives a mistake in another field
	change := []string{"old", third, "password", first, "again", "other", "exposed", "yes"}
	v.shows(v.post("/account/password", change...), 422, "differ", `value="yes" checked`)
	change[5] = first
	v.shows(v.post("/account/password", change...), 200, "is changed")
	exposed(4, true)
	v.shows(v.signIn(first), 200, "Devices")
	change = []string{"old", first, "password", second, "again", second, "exposed", "no"}
	v.shows(v.post("/account/password", change...), 200, "is changed")
	exposed(5, false)
}

func TestAResetThatReachesNoHubIsAWarning(t *testing.T) {
	v := visit(t, nil)
	v.register()
	token := v.forgot()
	done := v.post("/reset", "token", token, "chosen", "1", "password", second, "again", second)
	v.shows(done, 200, "Your password is reset", `role="alert"`, "No hub was informed")
}
