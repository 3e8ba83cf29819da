package language

import (
	"fmt"
	"time"
)

func russianMail() Mail {
	span := func(d time.Duration) string {
		if d >= 2*time.Hour && d%time.Hour == 0 {
			return russianMany(int(d/time.Hour), "часа", "часов", "часов")
		}
		return russianMany(max(1, int(d/time.Minute)), "минуты", "минут", "минут")
	}
	return Mail{
		Reset: func(door string, life time.Duration) Letter {
			return Letter{
				Subject: "Сброс пароля",
				Before: []string{fmt.Sprintf("Кто-то запросил через %s сброс пароля вашей учётной записи. Если это были вы, "+
					"откройте эту ссылку в течение %s и выберите новый пароль:", russianDoor(door), span(life))},
				Link:  "Выбрать новый пароль",
				After: []string{"Если это были не вы, ничего не делайте: ничего не изменилось."},
			}
		},
		Activate: func(life time.Duration) Letter {
			return Letter{
				Subject: "Активация учётной записи",
				Before: []string{fmt.Sprintf("Кто-то зарегистрировал учётную запись с этим адресом. Если это были вы, откройте "+
					"эту ссылку в течение %s:", span(life))},
				Link:  "Активировать учётную запись",
				After: []string{"Если это были не вы, ничего не делайте: учётная запись останется закрытой."},
			}
		},
		Taken: func() Letter {
			return Letter{
				Subject: "У вас уже есть учётная запись",
				Before: []string{"Кто-то пытался зарегистрировать учётную запись с этим адресом, а она уже есть. Если это были " +
					"вы и вы забыли пароль, запросите новый здесь:"},
				Link:  "Забыли пароль?",
				After: []string{"Если это были не вы, ничего не делайте: ничего не изменилось."},
			}
		},
		Changed: func(at time.Time, door string, reset bool) Letter {
			how := "с прежним паролем"
			if reset {
				how = "после того как его забыли"
			}
			return Letter{
				Subject: "Ваш пароль изменён",
				Before: []string{
					fmt.Sprintf("Пароль вашей учётной записи изменён %s через %s, %s. Во всех приложениях выполнен выход: войдите с "+
						"новым паролем. Ваши хабы передадут его устройствам.", russianTime(at), russianDoor(door), how),
					"Если это были не вы, откройте эту ссылку. Она завершит все сеансы, удалит добавленные с тех пор хабы и " +
						"отправит вам письмо, с которым вы выберете новый пароль:",
				},
				Link: "Это был не я",
			}
		},
		HubAdded: func(at time.Time, hub string) Letter {
			return Letter{
				Subject: "К вашей учётной записи добавлен хаб",
				Before: []string{
					fmt.Sprintf("К вашей учётной записи %s добавлен хаб «%s». "+
						"Хаб получает каждый новый пароль учётной записи и передаёт его вашим устройствам.", russianTime(at), hub),
					"Если это были не вы, откройте эту ссылку. Она завершит все сеансы, удалит этот хаб и добавленные позже " +
						"и отправит вам письмо, с которым вы выберете новый пароль:",
				},
				Link: "Это был не я",
			}
		},
		Code: func(page string) string {
			return fmt.Sprintf("Или введите этот код на странице %s:", page)
		},
		Footer: "Это письмо отправлено автоматически. Ответы на него никто не читает.",
	}
}
