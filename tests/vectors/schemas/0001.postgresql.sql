CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.appliance (
    id integer NOT NULL,
    node character varying(64) NOT NULL,
    generation bigint NOT NULL,
    created bigint NOT NULL
);
CREATE SEQUENCE public.appliance_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.appliance_id_seq OWNED BY public.appliance.id;
CREATE TABLE public.attempts (
    subject character varying(128) NOT NULL,
    failures integer NOT NULL,
    pending integer NOT NULL,
    last bigint NOT NULL
);
CREATE TABLE public.cores (
    number bigint NOT NULL,
    name character varying(64) NOT NULL,
    pin_required boolean NOT NULL,
    pin_salt bytea NOT NULL,
    serial character varying(16) NOT NULL,
    token_label character varying(32) NOT NULL,
    manufacturer character varying(32) NOT NULL,
    model character varying(16) NOT NULL,
    revision bigint NOT NULL,
    created bigint NOT NULL
);
CREATE SEQUENCE public.cores_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.cores_number_seq OWNED BY public.cores.number;
CREATE TABLE public.ended_tickets (
    id character varying(32) NOT NULL,
    expires bigint NOT NULL
);
CREATE TABLE public.events (
    number bigint NOT NULL,
    "time" bigint NOT NULL,
    node character varying(64) NOT NULL,
    "user" character varying(64) NOT NULL,
    operation character varying(32) NOT NULL,
    core bigint,
    key character varying(128),
    mechanism character varying(32),
    input character varying(64),
    outcome character varying(8) NOT NULL,
    reason text
);
CREATE TABLE public.keys (
    number bigint NOT NULL,
    id character varying(16) NOT NULL,
    core bigint NOT NULL,
    label character varying(128) NOT NULL,
    type character varying(32) NOT NULL,
    public_key bytea NOT NULL,
    has_pin boolean NOT NULL,
    pin_tag bytea,
    sealed bytea NOT NULL,
    policy bytea NOT NULL,
    version integer NOT NULL,
    created bigint NOT NULL
);
CREATE SEQUENCE public.keys_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.keys_number_seq OWNED BY public.keys.number;
CREATE TABLE public.rules (
    number bigint NOT NULL,
    "user" character varying(64) NOT NULL,
    core bigint NOT NULL,
    operations text NOT NULL,
    keys text NOT NULL,
    created bigint NOT NULL
);
CREATE SEQUENCE public.rules_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.rules_number_seq OWNED BY public.rules.number;
CREATE TABLE public.unlock_slots (
    number bigint NOT NULL,
    kind character varying(32) NOT NULL,
    sealed bytea NOT NULL,
    created bigint NOT NULL
);
CREATE SEQUENCE public.unlock_slots_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.unlock_slots_number_seq OWNED BY public.unlock_slots.number;
CREATE TABLE public.users (
    number bigint NOT NULL,
    name character varying(64) NOT NULL,
    role character varying(16) NOT NULL,
    password text NOT NULL,
    created bigint NOT NULL
);
CREATE SEQUENCE public.users_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.users_number_seq OWNED BY public.users.number;
ALTER TABLE ONLY public.appliance ALTER COLUMN id SET DEFAULT nextval('public.appliance_id_seq'::regclass);
ALTER TABLE ONLY public.cores ALTER COLUMN number SET DEFAULT nextval('public.cores_number_seq'::regclass);
ALTER TABLE ONLY public.keys ALTER COLUMN number SET DEFAULT nextval('public.keys_number_seq'::regclass);
ALTER TABLE ONLY public.rules ALTER COLUMN number SET DEFAULT nextval('public.rules_number_seq'::regclass);
ALTER TABLE ONLY public.unlock_slots ALTER COLUMN number SET DEFAULT nextval('public.unlock_slots_number_seq'::regclass);
ALTER TABLE ONLY public.users ALTER COLUMN number SET DEFAULT nextval('public.users_number_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('0001');
INSERT INTO public.appliance VALUES (1, 'node', 7, 1795447648598979);
INSERT INTO public.attempts VALUES ('password:admin', 0, 0, 0);
INSERT INTO public.attempts VALUES ('password:alice', 0, 0, 0);
INSERT INTO public.attempts VALUES ('pin:user:alice:1', 1, 0, 1795447652247563);
INSERT INTO public.attempts VALUES ('pin:key:e316d9751425dc40:1', 1, 0, 1795447652250278);
INSERT INTO public.cores VALUES (1, 'core1', true, '\xfc974e22e105974f09c92387673682c4', '706498175', 'core1', 'Privyseal', 'Privyseal core', 3, 1795447648603437);
INSERT INTO public.cores VALUES (2, 'test', false, '\x0d5b12c58f31b85918e6329ed18af3ef', '737788296', 'test', 'Privyseal', 'Privyseal core', 2, 1795447651583087);
INSERT INTO public.ended_tickets VALUES ('2ef94ff2d74d0fd830433024a3284fbd', 1795451252);
INSERT INTO public.events VALUES (1, 1795447648598075, 'node', 'admin', 'appliance:provision', NULL, NULL, NULL, NULL, 'done', NULL);
INSERT INTO public.events VALUES (2, 1795447650805857, 'node', 'admin', 'key:generate', 1, 'e316d9751425dc40', 'ec:P-256', NULL, 'done', 'label ''release'', type ec:P-256');
INSERT INTO public.events VALUES (3, 1795447650960398, 'node', 'admin', 'key:generate', 1, '56cf885953763e95', 'rsa:2048', NULL, 'done', 'label ''open-rsa'', type rsa:2048');
INSERT INTO public.events VALUES (4, 1795447651239617, 'node', 'admin', 'user:create', NULL, NULL, NULL, NULL, 'done', 'user ''alice'', role operator');
INSERT INTO public.events VALUES (5, 1795447651272939, 'node', 'admin', 'rule:create', 1, NULL, NULL, NULL, 'done', 'user ''alice'' may key:read,key:sign with ''release*'' in core 1');
INSERT INTO public.events VALUES (6, 1795447651553137, 'node', 'admin', 'user:create', NULL, NULL, NULL, NULL, 'done', 'user ''carla'', role auditor');
INSERT INTO public.events VALUES (7, 1795447651583116, 'node', 'admin', 'core:create', NULL, NULL, NULL, NULL, 'done', 'core ''test''');
INSERT INTO public.events VALUES (8, 1795447651617227, 'node', 'admin', 'key:generate', 2, 'd92458c5d636cb82', 'ed25519', NULL, 'done', 'label ''nopin'', type ed25519');
INSERT INTO public.events VALUES (9, 1795447651965791, 'node', 'alice', 'key:sign', 1, 'e316d9751425dc40', 'ECDSA-SHA-256', '01d2981b867f96e2402938ea11793c3f4a9248464c3b0a72048081eaef73621c', 'done', NULL);
INSERT INTO public.events VALUES (10, 1795447652253367, 'node', 'alice', 'key:sign', 1, 'e316d9751425dc40', 'ECDSA-SHA-256', NULL, 'refused', 'the PIN does not fit key ''release'' in core 1; 9 attempts are left');
INSERT INTO public.events VALUES (11, 1795447652264183, 'node', 'alice', 'core:login', 1, NULL, NULL, NULL, 'done', 'the PIN opens 1 keys');
INSERT INTO public.events VALUES (12, 1795447652269259, 'node', 'alice', 'core:logout', 1, NULL, NULL, NULL, 'done', NULL);
INSERT INTO public.keys VALUES (1, 'e316d9751425dc40', 1, 'release', 'ec:P-256', '\x3059301306072a8648ce3d020106082a8648ce3d0301070342000487a9c95e701d188e5fa9b80a09deee68085982273d92b5413f6bbfa19f5bc15392b8bb45d004e9ba053e2afd3fdf4d08a4f2b5b476e913a0f08da840ff28d20f', true, '\x1cc3633baffc581a9b64bb9f7412979b', '\x96704a5fc386253631f22600a6192058877f368bcba672c29b68ebf51fc7fccc2bdbf9f81194961b0050b31759362737b1e119c6a456a4931109871449f1fd481c809551a10c8c3ef74c44ea4b401e952029e633f505b87e8169c032934b4e3329846b53c5e20c0f4e157b592336a64fae46e1bbcd9bd63f149207bf7ec0942dcfe7fcd08c5f2bf026fff807d0c19c457ff9008fa867b482b767f7d39664501e055de4eb697a6315356aae7531943ac034f48a98f97a79b0b57c4b8bbb215e989e2e', '\x93a6506f6c69637991a54543445341c3', 1, 1795447650805807);
INSERT INTO public.keys VALUES (2, '56cf885953763e95', 1, 'open-rsa', 'rsa:2048', '\x30820122300d06092a864886f70d01010105000382010f003082010a0282010100b1fed3a0ceff8864f469a3892a6eeec90baef43f8b76284fa0d249570a4457e7949c8cf239243e0fd0c0fa83f06aa42786e6e1297a2900e334370a034092bab72c2739da3c52e19e7b81971e850c8afe8784fd4e5dcea32dd8557e444c4375c16c5fee7f30bd8d30fc56fea69fa3c1aaaa5fa7b626c0bab338b4476a8fb582a2848744b0c9f3e81a777dbc1622585c424b300fe64aa937bb1fa673cf39468d1f03f09e4d0ac0ffd80064ecba651edc9f19712208b2bef27634d613f8569e50935ad57f4cc7a88c94a4cb0587f635ec214c197db7954caa5e8c53e09dc2a3e6e68a3252333a9ac893ded1fd0236d5c93c44ff6d744244e97842170170230da8530203010001', true, '\x1cc3633baffc581a9b64bb9f7412979b', '\x00048c476565f23f18047783905b308a29dd4314f5fc55b2e98ceb77e97a9847b12576de5b18633f7b58c519caf92c61e3c123bf320098e23d230ef399daa17b6ce45c8c4cce0b251a05bd50e517dedecd49791f7950795e85782390e2b6b725b2b75c1a4c575bf51ffd52a57f1f31582eb74a4cfc2145a1553ecf36e36160e4abe5ed9c759193e4a024bae3df802ed895f9bc2734542e1aa3ff74b0bfbdd6681571ba7f2d36100545b9b17964375364642639d1874fdf716e72d2c71788af195f2c831fc186a76b867accd14b845cc91e282ab3615528c5e4391e976d2a62195a962cf4f7b78cade65cdc5ff9adcc7db6c9b91b6a6d0d668e394934a2db45bcbf25e3e46b06a5e91e50a5fa7be0283827a47d6d5525047c7eec864a001b60f447b39067279872550faefbffaa8ac6f763bfb89c8263f34847dd483bb418f639889e9273e170adc1d73079d508d65331e6051341b6b0c2c5defe87b735e000998efaca0d6e20f97d5451f6aa25c14c94a7f623da3caa1817e6014bf62b7324c73be80a5b6bf0ca34fd5a40c97731c8d8988a17f6933ef1d9de76b2ded8a685c28c21cb10b794e290068b889166138fac2dc2e27d37b9aee90e097630dda9a6337dab1ed19c157a3b008672291096b8fe9fffe5ddc8ead2361f9455a125097114bd562b1df9e9643cf7d4999485723f53b0784753f63b364a07dd1db12c25c76ba0dc2e44077016870a1d49963157b8d93d23d68ebad7b5906a4ff889480546a0885586e04aaae7f774dbbc4feed03d9ce79c865a40663f3486b5212b9aec0863fb8d77e544f691e583d708f81023292b5e80a9c488b9b18ad50651d5e967a4ae93da29fa6eec4c108c60f17191d418aaf43bffca6080a28a7656de150cf5f38bb65b3206e156a44cab1083da130cf34088c48efd2e1e89dde3ab49eb79b8510bfb8cf46ff6bf750fb0015009dd8e538166c471280d08d66d5d7efeed1f005ed8b6b4b1db64ce124d1cb37da05a61d6d91e0bbdf8aa532db6814cea94bdf322454c5088bb1c6b088d39fe55b94924288f287b4a616e82861cda93aa95be76caca06f701fc62232a84a3facabc13560bc1400dfabcf7b7134660e43abbb975925c84e05e1c541de2666c4a04ca7c89442b497284f135d08a56efb216161d705f3b63b867d65ce3c6e79d87b67ebd35e6de567853cc9b0d4532055eb44d0e52997fab441a368b7bc16841695edb996681c92599a7dd86db6e4aa6d394f9746ac18ebafefe0e01a26ace74b01b123fd3255ab6625aeb0f03337a93820548f73aa4b95bc1207433e93ea3971f4dc32da5103667b26743470f51490128ef6b12c6d868a74c97c0723ade5563eaf9d3ce4c32680ffd8e44ebf5a5c52bfaa8032f3e75dc9cdd789ed2c94601b5497b7eae2245645970a0c7e5f0038708aba3653350a20786ba126250a56f8310a9594110915fcb4a1f65c0f73b6a58dc3a5592d3c74dabb982ee72952814c5166c9b7a2d464a91d68fb2fe5f47e2880ca8bd1aab15824ddc6daa0c86e0e3fbeb2921035258770ac49768baaf2d61fa77ccc87d22735d00cf2322ce2a2afb5d74a3525fabc80fa619e14803d0b5e5fad3c8a9c7c84e2fc499c628a3076083f5e0fdcb2776596aa737c091c45ed7d7f2d116e9b7ae0e34e35faf98d84d4b46f5b1d914765eca117f964b4b35e5efb0dc5a54483f2fa82b81fa140ea3dff586e8cc598ef92c9248d04230f2bf92a01e2f51159989a40b310c2ca7bc9b8a498dbe90ad97185d12585ea33bb7d0c9f4f96f1dce', '\x93a6506f6c69637992a95253412d504b435331a75253412d505353c3', 1, 1795447650960353);
INSERT INTO public.keys VALUES (3, 'd92458c5d636cb82', 2, 'nopin', 'ed25519', '\x302a300506032b6570032100a39b2d714858c565aa0c4ce16ffbd439af181382743740ac5a73ad7e09e6ff4f', false, NULL, '\xac4e8585c3c528fe53a183d958ef62ca566ab927afcd8ab3cb1859634f54f7b7ad213ab508018b0f55b5cc17869cc0d4478300c616380cfb4a0c2e24d2dc49a23b637fa8a5e8dc237a9409c6', '\x93a6506f6c69637991a54564445341c2', 1, 1795447651617185);
INSERT INTO public.rules VALUES (1, 'alice', 1, 'key:read,key:sign', 'release*', 1795447651272903);
INSERT INTO public.unlock_slots VALUES (1, 'key-file', '\xdc9bc69b791c19f9e3372855774bc3833453f437c81b8ad63e6c977c207008079e35e0533a855f993cf9aac4927162cd4f8e2cabae35a6aa2f54edc8', 1795447648601244);
INSERT INTO public.users VALUES (1, 'admin', 'administrator', '$argon2id$v=19$m=65536,t=3,p=1$dKeTUh8dmraodRNxv6NwDg$5/f8/C0AeXI2ZxJ+F7YbUwQnD/2YQzqbet1xFrIyEXs', 1795447648610953);
INSERT INTO public.users VALUES (2, 'alice', 'operator', '$argon2id$v=19$m=65536,t=3,p=1$qmMXym43IkG5EI2pMPzFAQ$Uw3d3pnH3rOjOtTDctUo/ntd5V2DCLbfGBYocycL/Bc', 1795447651243128);
INSERT INTO public.users VALUES (3, 'carla', 'auditor', '$argon2id$v=19$m=65536,t=3,p=1$dsfFI4eg8siLtVJV4FtODg$/yZHOriuVhmJAePP39uQ2ifl4ZMXtiVpziTjlHqkBxQ', 1795447651556890);
SELECT pg_catalog.setval('public.appliance_id_seq', 1, false);
SELECT pg_catalog.setval('public.cores_number_seq', 1, false);
SELECT pg_catalog.setval('public.keys_number_seq', 3, true);
SELECT pg_catalog.setval('public.rules_number_seq', 1, true);
SELECT pg_catalog.setval('public.unlock_slots_number_seq', 1, true);
SELECT pg_catalog.setval('public.users_number_seq', 3, true);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.appliance
    ADD CONSTRAINT pk_appliance PRIMARY KEY (id);
ALTER TABLE ONLY public.attempts
    ADD CONSTRAINT pk_attempts PRIMARY KEY (subject);
ALTER TABLE ONLY public.cores
    ADD CONSTRAINT pk_cores PRIMARY KEY (number);
ALTER TABLE ONLY public.ended_tickets
    ADD CONSTRAINT pk_ended_tickets PRIMARY KEY (id);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT pk_events PRIMARY KEY (number);
ALTER TABLE ONLY public.keys
    ADD CONSTRAINT pk_keys PRIMARY KEY (number);
ALTER TABLE ONLY public.rules
    ADD CONSTRAINT pk_rules PRIMARY KEY (number);
ALTER TABLE ONLY public.unlock_slots
    ADD CONSTRAINT pk_unlock_slots PRIMARY KEY (number);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT pk_users PRIMARY KEY (number);
ALTER TABLE ONLY public.cores
    ADD CONSTRAINT uq_cores_name UNIQUE (name);
ALTER TABLE ONLY public.cores
    ADD CONSTRAINT uq_cores_serial UNIQUE (serial);
ALTER TABLE ONLY public.keys
    ADD CONSTRAINT uq_keys_core_label UNIQUE (core, label);
ALTER TABLE ONLY public.keys
    ADD CONSTRAINT uq_keys_id UNIQUE (id);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT uq_users_name UNIQUE (name);
CREATE INDEX ix_keys_core_number ON public.keys USING btree (core, number);
CREATE INDEX ix_keys_core_pin_tag ON public.keys USING btree (core, pin_tag);
CREATE INDEX ix_rules_user ON public.rules USING btree ("user");
ALTER TABLE ONLY public.keys
    ADD CONSTRAINT fk_keys_core FOREIGN KEY (core) REFERENCES public.cores(number);
ALTER TABLE ONLY public.rules
    ADD CONSTRAINT fk_rules_core FOREIGN KEY (core) REFERENCES public.cores(number) ON DELETE CASCADE;
ALTER TABLE ONLY public.rules
    ADD CONSTRAINT fk_rules_user FOREIGN KEY ("user") REFERENCES public.users(name) ON DELETE CASCADE;
