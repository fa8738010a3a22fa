/** The ones of at least eight characters that lead every published list; in lower case. Repetitions are refused by rule. */
export const COMMON_PASSWORDS: ReadonlySet<string> = new Set(
  `12345678 123456789 1234567890 12345678910 123456789a 0123456789 0987654321 987654321 87654321 1q2w3e4r 1q2w3e4r5t
1qaz2wsx 1qazxsw2 1qaz2wsx3edc q1w2e3r4 q1w2e3r4t5 qwertyui qwertyuiop qwerty12 qwerty123 qwerty1234 qwerty12345
qwertyqwerty qwer1234 1234qwer asdfghjk asdfghjkl asdf1234 asdfasdf zxcvbnm1 zxcvbnm123 zaq12wsx zaq1zaq1 zaq1xsw2
password password1 password12 password123 password1234 password! password1! passw0rd p@ssw0rd p@ssword pa55word
passwort passwort1 motdepasse contraseña wachtwoord mypassword newpassword changeme changeme1 changeme123 letmein1
letmein123 welcome1 welcome12 welcome123 welcome! administrator admin123 admin1234 admin12345 adminadmin admin@123
root1234 rootroot rootpassword toor1234 default1 default123 secret12 secret123 secretpassword test1234 test12345
testtest testing1 testing123 temp1234 temporary guest123 guest1234 user1234 username iloveyou iloveyou1 iloveyou2
sunshine sunshine1 princess princess1 football football1 baseball baseball1 basketball superman superman1 batman123
spiderman pokemon1 pokemon123 starwars starwars1 trustno1 whatever whatever1 computer computer1 internet internet1
michelle jennifer jessica1 charlie1 michael1 ashley123 daniel123 jordan23 nicole123 samantha alexander alexandra
liverpool arsenal1 chelsea1 barcelona realmadrid juventus manchester dragon12 dragon123 monkey12 monkey123 shadow12
shadow123 master12 master123 killer12 killer123 hunter12 hunter123 ninja123 cheese12 chocolate butterfly elephant
cookie123 banana12 orange12 summer12 summer123 summer2024 summer2025 summer2026 winter12 winter123 winter2024
winter2025 winter2026 spring2025 spring2026 autumn2025 autumn2026 a1234567 a12345678 a123456789 aa123456 aa12345678
abc12345 abc123456 abcd1234 abcdefgh abcdefghi abcdef123 abc123abc 123abc123 1a2b3c4d 11223344 12344321 12341234
11112222 10203040 102030405 147258369 159357456 159753456 741852963 789456123 963852741 123123123 123321123 123456abc
12345qwert 123qweasd 123qweasdzxc qweasdzxc qweasd123 qweqwe123 qazwsxedc qazwsx123 google123 facebook facebook1
linkedin microsoft samsung1 samsung123 iphone123 android1 minecraft minecraft1 fortnite1 playstation nintendo xbox360x
freedom1 freedom123 mustang1 corvette mercedes porsche1 harley123 yamaha123 victoria1 california hello123 hello1234
helloworld goodluck1 lovely123 loveyou1 loveme123 forever1 forever21 blink182 metallica nirvana1 slipknot1 asdfqwer
tokilake tokilake1 tokilake123 tokiame1 tokiame123 openrouter chatgpt1 chatgpt123 openai123 ollama123`.split(/\s+/),
);
