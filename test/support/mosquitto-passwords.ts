/**
 * What mosquitto_passwd 2.0.11 wrote after the colon: `touch passwd`, then
 *
 *     mosquitto_passwd -H sha512 -b passwd once pencil
 *     mosquitto_passwd -b passwd default pencil
 *     mosquitto_passwd -H sha512-pbkdf2 -I 1000 -b passwd thousand pencil     # today: 10000, most: 100000, owasp: 210000
 *     mosquitto_passwd -b passwd spaced 'grün µ€ '
 *     mosquitto_passwd -H sha512 -b passwd bytes $'\xff\xfe'
 */
export const MOSQUITTO = {
  once: "$6$t5mpIH8of+LITv0z$khW99s0DJF8bA5wKX+ryqYJ9zLFWChMFygpgdkZTQ/TXGzwgLIEi9b0SB0UCH2svyzLsDfmYQavZDgHkYe/jFQ==",
  default:
    "$7$101$UPv5sfUaptYSceKy$lOSf6mFlS+s3OXqID5vPGYNGEY+es0cCnmeEdd4d5NB9NPuf07UJILrZOWyQDqy1Msk9YtsMYBkjkpKoMG3Brg==",
  thousand:
    "$7$1000$M3scmFZmMBRrz7KF$C6aZT8uKqZTnUCtZ4PGwBXH5RkL8+72jaHSnatZX78QUNv3Mtn6hXIlfivGULaIKuxinyTZHchmeDbA6Phrirg==",
  today:
    "$7$10000$ovqw9X90obIyZXJU$kUl6QooWvxt3Ga+Za8iD9wt+qBEP2HJBbFqYPKVtYEmsZFYmIF3b39FYujHVtx5pBjKDmD2dRP9rCY73GoMNgw==",
  most: "$7$100000$iF1rkL66HwxeSMkm$0uAVCsGGdsRu4a3uMtmq1SBAj1AEMQSngeZ4jMvBqMuKm3/lvcOoIrG7xshMZ+DMzgZnSLmaODkSjc4mQuTdvw==",
  owasp:
    "$7$210000$MCDul/QE9wytjvop$wiOo3iFbYu3cxJQOlwjkYQRHGmv3cIpScgiWCHAiLYPxPUjRbaITPoEwi+7lCUlOzjU/0L97g4lXz9zpDHb95Q==",
  spaced:
    "$7$101$LRTNep6P/r35L3/p$AAlqBDT8TkueoHvU/r/SQP4G4oVGprDPMSjQglQJEiA6AtMZVZM9RJ/t8OfjL54t9KjS1V4aFXC00hx8YknYMg==",
  bytes: "$6$vSlrgz4vkqI6jBaW$0Gfq46Ac2zdwAG+4qczUDrYsTjeE63Cb+G9O9CbQNpYjhKNnHqaXM2rTDE0dvhxeZOwJR158tArZIDNHq4dXow==",
};

/** Of all but `spaced` and `bytes`. */
export const PASSWORD = "pencil";
