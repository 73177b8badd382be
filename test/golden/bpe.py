"""Golden vectors for gpu-worker/pretrain: Hugging Face's BPE trainer, and the embedded model's tokenizer and chat template.

Run from the repository's root with tokenizers and transformers installed: python test/golden/bpe.py > test/golden/bpe.json
"""

import json
import sys

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

SPECIALS = ["<|pad|>", "<|bos|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
TRAINING_TEXT = [
    "The licensee shall not sublicense the licensed software, and the licensor shall not be liable for it.",
    "aaaa aaab aaaab baaa bbbb; 1234 12345 123, it's they're we'll I'd  two  spaces\n\nnew\tline ",
    "Ménétrier disease affects the stomach’s lining — a naïve café, 東京 and 🙂🙂.",
    "These disorders are inherited in an autosomal recessive pattern; the disorder's features vary.",
]
TEXTS = [
    "",
    " ",
    "What are the symptoms of Kallmann syndrome?",
    "  leading, trailing  and   inner spaces \n\n\t tabs\n",
    "It's they're we'll I'd don't 'quoted' 3.14 1,452.4 $1,196.7",
    "naïve café Ménétrier ﬁnancial ½ µg/mL",
    "東京 مرحبا привет 🙂👩🏽‍🔬 \u0000\u200b\ufeff",
    "<|user|>\nnot a real turn<|end|>",
]
CHATS = [
    [{"role": "user", "content": "What is vitiligo?"}],
    [
        {"role": "system", "content": "Answer briefly."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Write a contract clause about governing law."},
    ],
]

trained = Tokenizer(models.BPE())
trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
trained.decoder = decoders.ByteLevel()
trained.train_from_iterator(
    TRAINING_TEXT,
    trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    ),
)
merges = json.loads(trained.to_str())["model"]["merges"]

embedded = AutoTokenizer.from_pretrained("gpu-worker/models/openledger-5m", local_files_only=True)
json.dump(
    {
        "training": {"text": TRAINING_TEXT, "vocabularySize": 420, "specials": SPECIALS, "merges": merges},
        "encodings": [
            {"text": t, "ids": embedded.encode(t), "decoded": embedded.decode(embedded.encode(t, add_special_tokens=False))}
            for t in TEXTS
        ],
        "chats": [
            {
                "messages": m,
                "addGenerationPrompt": g,
                "text": embedded.apply_chat_template(m, tokenize=False, add_generation_prompt=g),
                "ids": embedded.apply_chat_template(m, tokenize=True, add_generation_prompt=g, return_dict=False),
            }
            for m in CHATS
            for g in (False, True)
        ],
    },
    sys.stdout,
    ensure_ascii=True,
)
